import Testing

@testable import SocketIO

@Suite struct RegistrationTableTests {
    private final class Handler: ReadinessHandler {
        func isReady(_ readiness: Readiness, on loop: isolated Loop) {}
    }

    /// What epoll still tells of a descriptor that is gone must reach nobody, although its slot is used again.
    @Test func aSlotThatIsUsedAgainHasAnotherKey() {
        var table = RegistrationTable()
        let first = table.insert(Handler(), descriptor: 3)
        var removed = table.remove(first)
        #expect(removed == 3)
        let (second, handler) = (Handler(), Handler())
        let registration = table.insert(second, descriptor: 4)
        #expect(table.handler(forKey: first.key) == nil)
        #expect(table.handler(forKey: registration.key) === second)
        removed = table.remove(first)
        #expect(removed == nil)
        removed = table.remove(registration)
        #expect(removed == 4)
        _ = table.insert(handler, descriptor: 5)
        #expect(table.handler(forKey: registration.key) == nil)
    }

    @Test func slotsWhoseRoomWasGivenBackAreOthersWhenTheyComeAgain() {
        var table = RegistrationTable()
        let kept = Handler()
        let stays = table.insert(kept, descriptor: 3)
        let crowd = (0..<1_000).map { table.insert(Handler(), descriptor: CInt(10 + $0)) }
        for registration in crowd { table.remove(registration) }
        table.giveBackRoom()
        #expect(table.handler(forKey: stays.key) === kept)
        let handlers = (0..<1_000).map { _ in Handler() }
        let others = handlers.map { table.insert($0, descriptor: 7) }
        for registration in crowd {
            #expect(table.handler(forKey: registration.key) == nil)
            let isMarked = table.markAgain(registration)
            #expect(!isMarked)
        }
        for (registration, handler) in zip(others, handlers) {
            #expect(table.handler(forKey: registration.key) === handler)
        }
        #expect(table.handler(forKey: stays.key) === kept)
    }
}
