import Testing

@testable import OpenSSL

/// The certificate goes out of a session's DER, and everything else stays. That the result can be resumed is TLSResumptionTests' part.
@Suite struct StrippedSessionTests {
    @Test func theCertificateAloneIsTakenOut() {
        let before: [UInt8] = [0x02, 1, 1, 0x04, 2, 8, 9]
        let after: [UInt8] = [0xa4, 2, 0x04, 0]
        #expect(stripped(sequence(before + element(0xa3, 5) + after)) == sequence(before + after))
    }

    /// Each length that a header can say in another number of bytes.
    @Test(arguments: [0, 1, 100, 127, 128, 200, 255, 256, 300, 1_000, 65_535, 65_536, 70_000], [1, 130, 300, 66_000])
    func lengthsOfEverySizeAreReadAndWritten(rest: Int, certificate: Int) {
        let front = element(0x04, rest)
        #expect(stripped(sequence(front + element(0xa3, certificate))) == sequence(front))
        #expect(stripped(sequence(element(0xa3, certificate) + front)) == sequence(front))
    }

    @Test(
        arguments: [
            [], [0x30], [0x30, 0x81], [0x30, 0x85, 0, 0, 0, 0, 1, 0], [0x31, 2, 0xa3, 0], [0x30, 5, 0xa3, 0],
            [0x30, 1, 0xa3],
            [0x30, 3, 0xa3, 0x82, 1], [0x30, 2, 0xa3, 9], [0x30, 2, 0x04, 0], [0x30, 4, 0x04, 9, 0xa3, 0],
        ] as [[UInt8]])
    func whatIsNoSuchSequenceStays(der: [UInt8]) {
        #expect(stripped(der) == der)
    }

    private func stripped(_ der: [UInt8]) -> [UInt8] {
        var der = der
        return der.withUnsafeMutableBufferPointer { Array(StrippedSession.removeCertificate(from: $0)) }
    }

    private func sequence(_ contents: [UInt8]) -> [UInt8] { header(0x30, contents.count) + contents }

    private func element(_ tag: UInt8, _ count: Int) -> [UInt8] {
        header(tag, count) + (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    }

    private func header(_ tag: UInt8, _ count: Int) -> [UInt8] {
        switch count {
        case 0..<128: [tag, UInt8(count)]
        case 0..<256: [tag, 0x81, UInt8(count)]
        case 0..<65_536: [tag, 0x82, UInt8(count >> 8), UInt8(count & 255)]
        default: [tag, 0x83, UInt8(count >> 16), UInt8(count >> 8 & 255), UInt8(count & 255)]
        }
    }
}
