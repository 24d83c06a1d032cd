/// A table of figures. The first column names the rows.
struct ReportTable: Codable, Hashable, Sendable {
    struct Row: Codable, Hashable, Sendable {
        var name: String
        var figures: [Figure?]
    }

    var title: String
    var columns: [String]
    var rows: [Row] = []
    /// Sentences about how it was measured.
    var notes: [String]

    init(_ title: String, columns: [String], notes: [String] = []) {
        self.title = title
        self.columns = columns
        self.notes = notes
    }

    mutating func add(_ name: String, _ figures: Figure?...) { rows.append(Row(name: name, figures: figures)) }

    var markdown: String {
        let heads = [""] + columns
        var text = "### \(title)\n\n"
        text += "| \(heads.joined(separator: " | ")) |\n"
        text += "|\(String(repeating: "---|", count: heads.count))\n"
        for row in rows {
            let cells = [row.name] + row.figures.map { $0?.markdown ?? "–" }
            text += "| \(cells.joined(separator: " | ")) |\n"
        }
        if !notes.isEmpty { text += "\n\(notes.joined(separator: " "))\n" }
        return text
    }

    /// What was to be reached, and whether it was.
    var bars: [(name: String, reached: Bool)] {
        rows.flatMap { row in
            zip(columns, row.figures).compactMap { column, figure in
                figure?.reached.map { ("\(title): \(row.name), \(column)", $0) }
            }
        }
    }
}

/// What one run of the benchmarks came to.
struct Report: Codable, Sendable {
    struct Part: Codable, Sendable {
        var scenario: String
        var tables: [ReportTable]
    }

    var machine: Machine
    var parts: [Part] = []

    var missed: [String] { parts.flatMap(\.tables).flatMap(\.bars).filter { !$0.reached }.map(\.name) }
    var barCount: Int { parts.flatMap(\.tables).flatMap(\.bars).count }
}
