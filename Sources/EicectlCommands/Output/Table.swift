import Failures

/// A table for people: columns as wide as their longest cell, two blanks between, none at a line's end.
struct Table {
    struct Cell {
        var text: String
        /// Sets the text off after it was padded, so that colours do not count as width.
        var paint: ((String) -> String)?

        init(_ text: String, _ paint: ((String) -> String)? = nil) {
            self.text = text
            self.paint = paint
        }
    }

    private let heads: [String]
    private var rows: [[Cell]] = []

    init(_ heads: [String]) { self.heads = heads }

    mutating func add(_ cells: [Cell]) { rows.append(cells) }
    mutating func add(plain cells: [String]) { rows.append(cells.map { Cell($0) }) }

    func text(_ style: Style) -> String {
        // Before the widths, which are those of what is shown.
        let all = ([heads.map { Cell($0, style.heading) }] + rows).map { row in
            row.map { Cell(ForeignText.line($0.text, limit: 1_000), $0.paint) }
        }
        let widths = heads.indices.map { column in all.map { $0[column].text.count }.max() ?? 0 }
        return all.map { row in
            row.enumerated().map { column, cell in
                let isLast = column == row.count - 1
                let padding = isLast ? "" : String(repeating: " ", count: max(0, widths[column] - cell.text.count) + 2)
                return (cell.paint?(cell.text) ?? cell.text) + padding
            }.joined() + "\n"
        }.joined()
    }
}
