import Synchronization

/// A forward's name as its tunnels know it: a tunnel belongs to its forward, and follows it when that is renamed.
/// From any thread.
final class ForwardName: Sendable {
    private let text: Mutex<String>

    init(_ text: String) { self.text = Mutex(text) }

    var current: String {
        get { text.withLock { $0 } }
        set { text.withLock { $0 = newValue } }
    }
}
