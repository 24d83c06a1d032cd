/// What was measured several times. Pure.
struct Samples {
    private(set) var sorted: [Double]

    init(_ values: [Double]) { sorted = values.sorted() }

    init(_ lengths: [Duration], per unit: Duration) { self.init(lengths.map { $0 / unit }) }

    var count: Int { sorted.count }

    var median: Double { quantile(0.5) }

    /// The value below which the share `part` (0…1) lies, between two values in proportion; 0 where nothing was measured.
    func quantile(_ part: Double) -> Double {
        guard let last = sorted.last else { return 0 }
        let place = part * Double(sorted.count - 1)
        let index = Int(place)
        guard index + 1 < sorted.count else { return last }
        return sorted[index] + (sorted[index + 1] - sorted[index]) * (place - Double(index))
    }

    /// The median with the quartiles as its spread.
    func figure(_ unit: Figure.Unit) -> Figure {
        Figure(median, unit, low: quantile(0.25), high: quantile(0.75), count: count)
    }
}

/// One number of a table, with what it must reach where it must.
struct Figure: Codable, Hashable, Sendable {
    /// As it is written behind the number. JSON has the same word.
    enum Unit: String, Codable, Sendable {
        case seconds = "s"
        case milliseconds = "ms"
        case microseconds = "µs"
        case nanoseconds = "ns"
        case kibibytes = "KiB"
        case mebibytes = "MiB"
        case mebibytesPerSecond = "MiB/s"
        case percent = "%"
        /// A multiple of what another did in the same moment.
        case times = "×"
        case roundTrips = "round trips"
        case none = ""
    }

    var value: Double
    var unit: Unit
    /// The middle half of what was measured lies between these.
    var low: Double?
    var high: Double?
    /// How often it was measured.
    var count: Int?
    /// The bar: the value is to be no more than this.
    private(set) var atMost: Double?
    /// The bar: the value is to be no less than this.
    private(set) var atLeast: Double?
    /// Whether the bar is reached; nil without one.
    private(set) var reached: Bool?

    init(_ value: Double, _ unit: Unit, low: Double? = nil, high: Double? = nil, count: Int? = nil) {
        self.value = value
        self.unit = unit
        self.low = low
        self.high = high
        self.count = count
    }

    func atMost(_ bar: Double) -> Figure {
        var figure = self
        figure.atMost = bar
        figure.reached = value <= bar
        return figure
    }

    func atLeast(_ bar: Double) -> Figure {
        var figure = self
        figure.atLeast = bar
        figure.reached = value >= bar
        return figure
    }

    /// `3.06 (3.05–3.08) round trips, bar ≤ 3.2`.
    var markdown: String {
        var text = Self.number(value)
        if let low, let high { text += " (\(Self.number(low))–\(Self.number(high)))" }
        if unit != .none { text += " \(unit.rawValue)" }
        guard let reached else { return text }
        text += atMost.map { ", bar ≤ \(Self.number($0))" } ?? atLeast.map { ", bar ≥ \(Self.number($0))" } ?? ""
        return reached ? text : "**\(text), missed**"
    }

    /// Three digits that count, and no more than are known: `0.812`, `3.06`, `21.4`, `1,204`.
    static func number(_ value: Double) -> String {
        let magnitude = abs(value)
        let decimals = magnitude == 0 ? 0 : magnitude < 1 ? 3 : magnitude < 10 ? 2 : magnitude < 100 ? 1 : 0
        let scale = [1, 10, 100, 1_000][decimals]
        let scaled = Int((magnitude * Double(scale)).rounded())
        var text = grouped(scaled / scale)
        if decimals > 0 { text += "." + String(scaled % scale + scale).dropFirst() }
        return value < 0 && scaled != 0 ? "-\(text)" : text
    }

    private static func grouped(_ number: Int) -> String {
        guard number >= 1_000 else { return "\(number)" }
        return grouped(number / 1_000) + "," + String(number % 1_000 + 1_000).dropFirst()
    }
}
