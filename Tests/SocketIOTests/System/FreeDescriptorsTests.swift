import Glibc
import Testing

@testable import SocketIO

@Suite struct FreeDescriptorsTests {
    private static let limit = 5_000

    /// What is answered where exactly `used` are open, and how many calls that took.
    private static func answer(_ needed: Int, used: (CInt) -> Bool) -> (are: Bool, calls: Int) {
        var calls = 0
        let are = FreeDescriptors.are(needed, below: limit) { numbers in
            calls += 1
            return numbers.count { !used($0) }
        }
        return (are, calls)
    }

    @Test(arguments: [1, 18, 1_024]) func whereTheTopWasNeverReachedOneCallTells(needed: Int) {
        #expect(Self.answer(needed) { $0 < 3_000 } == (true, 1))
    }

    /// The lowest free number says nothing of those above it.
    @Test func holesAreNotTakenForAllThatIsFree() {
        #expect(!Self.answer(20) { !(10..<29).contains($0) }.are)
        #expect(Self.answer(20) { !(10..<30).contains($0) }.are)
        #expect(Self.answer(500) { $0 % 10 != 3 }.are)
        #expect(!Self.answer(501) { $0 % 10 != 3 }.are)
    }

    @Test func moreThanThereCanBeAreNeverFree() {
        #expect(Self.answer(Self.limit + 1) { _ in false } == (false, 0))
        #expect(Self.answer(.max) { _ in false } == (false, 0))
        #expect(Self.answer(Self.limit) { _ in false }.are)
        #expect(!Self.answer(Self.limit) { $0 == 0 }.are)
        #expect(Self.answer(0) { _ in true }.are)
    }

    /// A limit may be more than any number that there is.
    @Test func theKernelIsAsked() throws {
        let descriptor = try FileDescriptor.socket(AF_UNIX)
        #expect(FreeDescriptors.free(in: descriptor.raw..<descriptor.raw + 1) == 0)
        #expect(FreeDescriptors.free(in: CInt.max - 9..<CInt.max) == 9)
        #expect(FreeDescriptors.are(18, below: .max))
    }
}
