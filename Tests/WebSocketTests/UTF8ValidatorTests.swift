import TestSupport
import Testing
import WebSocket

@Suite struct UTF8ValidatorTests {
    private func isValid(_ bytes: [UInt8], split: Int) -> Bool {
        var validator = UTF8Validator()
        let first = bytes[..<split].withUnsafeBytes { validator.consume($0) }
        return first && bytes[split...].withUnsafeBytes { validator.consume($0) } && validator.isComplete
    }

    @Test func agreesWithTheStandardLibraryOnEveryShortSequence() {
        // The bytes at which a rule changes, in every sequence of up to four of them, at every split.
        let edges: [UInt8] = [
            0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF,
            0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
        ]
        var sequences: [[UInt8]] = [[]]
        var wrong: [[UInt8]] = []
        for length in 0...4 {
            for (number, sequence) in sequences.enumerated() {
                let expected = String(validating: sequence, as: UTF8.self) != nil
                if isValid(sequence, split: number % (length + 1)) != expected { wrong.append(sequence) }
            }
            if length < 4 { sequences = sequences.flatMap { sequence in edges.map { sequence + [$0] } } }
        }
        #expect(wrong.isEmpty)
    }

    @Test func agreesWithTheStandardLibraryOnRandomText() {
        var generator = SeededGenerator(seed: 42)
        var valid = 0
        for _ in 0..<3_000 {
            let scalars = (0..<Int.random(in: 0...40, using: &generator)).compactMap { _ in
                Unicode.Scalar(
                    UInt32.random(in: 0...0x10FFFF, using: &generator) >> UInt32.random(in: 0...16, using: &generator))
            }
            var bytes = Array(String(String.UnicodeScalarView(scalars)).utf8)
            if Bool.random(using: &generator), let index = bytes.indices.randomElement(using: &generator) {
                bytes[index] = UInt8.random(in: 0...255, using: &generator)
            }
            let expected = String(validating: bytes, as: UTF8.self) != nil
            if expected { valid += 1 }
            for split in 0...bytes.count where isValid(bytes, split: split) != expected {
                Issue.record("\(bytes) split at \(split)")
            }
        }
        #expect(valid > 1_000 && valid < 2_900)
    }

    @Test func failsAtTheFirstByteThatCannotStand() {
        // The first byte that no valid text can have there, and how many stand before it.
        let cases: [([UInt8], Int)] = [
            ([0xCE, 0xBA, 0xE1, 0xBD, 0xB9, 0xF4, 0x90], 6), ([0xC0], 0), ([0xF5], 0), ([0xED, 0xA0], 1),
            ([0xE0, 0x80], 1), ([0xF0, 0x80], 1), ([0x80], 0), ([0xC3, 0x28], 1),
        ]
        for (bytes, valid) in cases {
            var validator = UTF8Validator()
            let taken = bytes.prefix { byte in [byte].withUnsafeBytes { validator.consume($0) } }
            #expect(taken.count == valid, "\(bytes)")
        }
    }
}
