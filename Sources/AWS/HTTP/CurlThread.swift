import Bounds
import CCurl
import Failures
import Synchronization

/// The one thread that libcurl runs on. Requests reach it through a queue; it sleeps in curl_multi_poll and is woken by
/// curl_multi_wakeup, the one libcurl call that may come from other threads.
final class CurlThread: Sendable {
    typealias Continuation = CheckedContinuation<Result<HTTPResponse, Failure>, Never>

    private struct Order {
        var ticket: UInt64
        var request: HTTPRequest
        var continuation: Continuation
    }

    /// The multi handle is used by the thread alone, except for curl_multi_wakeup, which is made under the lock: the thread
    /// takes the handle out under the same lock before it frees it.
    private struct Handle: @unchecked Sendable {
        let pointer: UnsafeMutableRawPointer
    }

    private struct Shared {
        /// Whether there is a thread, which takes orders until it stops.
        var isRunning = false
        /// Nil until the thread has loaded libcurl.
        var handle: Handle?
        var orders: [Order] = []
        var cancelled: Set<UInt64> = []
        /// Tickets whose continuation the thread or the queue holds.
        var outstanding: Set<UInt64> = []
        var nextTicket: UInt64 = 0
        var isStopping = false
    }

    private let shared = Mutex(Shared())
    private let userAgent: String
    private let largestBody: Int
    private let library: String

    /// The name by which libcurl was loaded; the lock, since neither that nor curl_global_init is thread-safe.
    private static let loaded = Mutex<String?>(nil)

    /// Why libcurl cannot be used; nil when it can. What failed is tried again by the next call: descriptors may have been short, or
    /// an upgrade under way.
    static func trouble(with library: String) -> String? {
        loaded.withLock { loaded in
            if loaded == library { return nil }
            if let reason = curl_load(library) { return "libcurl cannot be loaded: \(String(cString: reason))" }
            let code = curl_global_init(Int(CURL_GLOBAL_DEFAULT))
            guard code == CURLE_OK else {
                return "libcurl cannot be started: \(String(cString: curl_easy_strerror(code)))"
            }
            loaded = library
            return nil
        }
    }

    init(userAgent: String, largestBody: Int, library: String) {
        self.userAgent = userAgent
        self.largestBody = largestBody
        self.library = library
    }

    func ticket() -> UInt64 {
        shared.withLock { shared in
            shared.nextTicket += 1
            return shared.nextTicket
        }
    }

    func submit(_ request: HTTPRequest, _ ticket: UInt64, _ continuation: Continuation) {
        let failure = shared.withLock { shared -> Failure? in
            if shared.cancelled.remove(ticket) != nil { return CurlFailure.cancelled(request) }
            if shared.isStopping { return CurlFailure.cancelled(request) }
            if !shared.isRunning {
                guard DedicatedThread.start({ self.run() }) else {
                    return Self.failure(of: request, "no thread could be started for it")
                }
                shared.isRunning = true
            }
            shared.outstanding.insert(ticket)
            shared.orders.append(Order(ticket: ticket, request: request, continuation: continuation))
            if let handle = shared.handle { curl_multi_wakeup(handle.pointer) }
            return nil
        }
        if let failure { continuation.resume(returning: .failure(failure)) }
    }

    func cancel(_ ticket: UInt64) {
        shared.withLock { shared in
            shared.cancelled.insert(ticket)
            if shared.outstanding.contains(ticket), let handle = shared.handle { curl_multi_wakeup(handle.pointer) }
        }
    }

    /// Drops what a cancellation left that came too late to matter.
    func forget(_ ticket: UInt64) { shared.withLock { _ = $0.cancelled.remove(ticket) } }

    func stop() {
        shared.withLock { shared in
            shared.isStopping = true
            if let handle = shared.handle { curl_multi_wakeup(handle.pointer) }
        }
    }

    private static func failure(of request: HTTPRequest, _ why: String) -> Failure {
        Failure(
            .internal, "cannot \(request.purpose)", why: why,
            hint: "install libcurl 4, Debian's libcurl4, where it is missing; else free memory or descriptors")
    }

    /// Loads libcurl, which takes some milliseconds and here none of Swift's own threads. Nil, and all who wait are told, where it
    /// cannot be used.
    private func begin() -> UnsafeMutableRawPointer? {
        let trouble = Self.trouble(with: library)
        if trouble == nil, let multi = curl_multi_init() {
            curl_multi_setopt_long(multi, CURLMOPT_MAXCONNECTS, 8)
            let handle = Handle(pointer: multi)
            shared.withLock { $0.handle = handle }
            return multi
        }
        let orders = shared.withLock { shared in
            let orders = shared.orders
            shared.orders = []
            shared.cancelled.subtract(shared.outstanding)
            shared.outstanding = []
            shared.isRunning = false
            return orders
        }
        for order in orders {
            order.continuation.resume(
                returning: .failure(Self.failure(of: order.request, trouble ?? "libcurl is out of memory")))
        }
        return nil
    }

    /// The thread's life: take orders, let libcurl work, hand out what is finished, sleep.
    private func run() {
        guard let multi = begin() else { return }
        var transfers: [UInt64: CurlTransfer] = [:]
        while true {
            let (orders, cancelled, isStopping) = shared.withLock { shared in
                let work = (shared.orders, shared.cancelled.intersection(shared.outstanding), shared.isStopping)
                shared.orders = []
                shared.cancelled.subtract(work.1)
                return work
            }
            for order in orders { transfer(order, multi, &transfers) }
            for ticket in isStopping ? Set(transfers.keys) : cancelled {
                guard let transfer = transfers.removeValue(forKey: ticket) else { continue }
                curl_multi_remove_handle(multi, transfer.easy)
                end(ticket, transfer, .failure(CurlFailure.cancelled(transfer.request)))
            }
            if isStopping { break }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            collect(multi, &transfers)
            // With nothing to do this sleeps until it is woken: libcurl shortens it to its own timers otherwise.
            curl_multi_poll(multi, nil, 0, transfers.isEmpty ? Int32.max : 60_000, nil)
        }
        shared.withLock { shared in
            shared.handle = nil
            shared.isRunning = false
        }
        curl_multi_cleanup(multi)
    }

    private func transfer(_ order: Order, _ multi: UnsafeMutableRawPointer, _ transfers: inout [UInt64: CurlTransfer]) {
        guard
            let transfer = CurlTransfer(
                order.request, ticket: order.ticket, continuation: order.continuation, userAgent: userAgent,
                largestBody: largestBody)
        else {
            release(order.ticket)
            order.continuation.resume(
                returning: .failure(Self.failure(of: order.request, "libcurl is out of memory")))
            return
        }
        guard curl_multi_add_handle(multi, transfer.easy) == CURLM_OK else {
            end(
                order.ticket, transfer,
                .failure(Self.failure(of: order.request, "libcurl took no more work")))
            return
        }
        transfers[order.ticket] = transfer
    }

    private func collect(_ multi: UnsafeMutableRawPointer, _ transfers: inout [UInt64: CurlTransfer]) {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle else { continue }
            let code = message.pointee.data.result
            // A handful at most: looking through them costs less than a second index.
            guard let (ticket, transfer) = transfers.first(where: { $0.value.easy == easy }) else { continue }
            transfers[ticket] = nil
            let outcome = transfer.outcome(code)
            curl_multi_remove_handle(multi, easy)
            end(ticket, transfer, outcome)
        }
    }

    private func end(_ ticket: UInt64, _ transfer: CurlTransfer, _ outcome: Result<HTTPResponse, Failure>) {
        release(ticket)
        transfer.continuation.resume(returning: outcome)
    }

    private func release(_ ticket: UInt64) {
        shared.withLock { shared in
            shared.outstanding.remove(ticket)
            shared.cancelled.remove(ticket)
        }
    }
}
