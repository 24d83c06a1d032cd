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

    /// Why libcurl cannot be used; nil when it can. Neither loading it nor curl_global_init is thread-safe in itself; a global's
    /// initialisation is.
    private static let trouble: String? = {
        if let reason = cannotLoad("libcurl.so.4") { return reason }
        let code = curl_global_init(Int(CURL_GLOBAL_DEFAULT))
        return code == CURLE_OK ? nil : "libcurl could not be started: \(String(cString: curl_easy_strerror(code)))"
    }()

    static func cannotLoad(_ library: String) -> String? {
        curl_load(library).map { "libcurl could not be loaded: \(String(cString: $0))" }
    }

    init(userAgent: String, largestBody: Int) {
        self.userAgent = userAgent
        self.largestBody = largestBody
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
            if shared.handle == nil {
                do throws(Failure) { shared.handle = try start(for: request) } catch { return error }
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

    private func start(for request: HTTPRequest) throws(Failure) -> Handle {
        let what = "cannot \(request.purpose)"
        if let trouble = Self.trouble { throw Failure(.internal, what, why: trouble) }
        guard let multi = curl_multi_init() else { throw Failure(.internal, what, why: "libcurl is out of memory") }
        curl_multi_setopt_long(multi, CURLMOPT_MAXCONNECTS, 8)
        let handle = Handle(pointer: multi)
        guard DedicatedThread.start({ self.run(handle) }) else {
            curl_multi_cleanup(multi)
            throw Failure(.internal, what, why: "no thread could be started for it")
        }
        return handle
    }

    /// The thread's life: take orders, let libcurl work, hand out what is finished, sleep.
    private func run(_ handle: Handle) {
        let multi = handle.pointer
        var transfers: [UInt64: CurlTransfer] = [:]
        while true {
            let (orders, cancelled, isStopping) = shared.withLock { shared in
                let work = (shared.orders, shared.cancelled.intersection(shared.outstanding), shared.isStopping)
                shared.orders = []
                shared.cancelled.subtract(work.1)
                return work
            }
            for order in orders { begin(order, multi, &transfers) }
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
        shared.withLock { $0.handle = nil }
        curl_multi_cleanup(multi)
    }

    private func begin(_ order: Order, _ multi: UnsafeMutableRawPointer, _ transfers: inout [UInt64: CurlTransfer]) {
        guard
            let transfer = CurlTransfer(
                order.request, ticket: order.ticket, continuation: order.continuation, userAgent: userAgent,
                largestBody: largestBody)
        else {
            release(order.ticket)
            order.continuation.resume(
                returning: .failure(
                    Failure(.internal, "cannot \(order.request.purpose)", why: "libcurl is out of memory")))
            return
        }
        guard curl_multi_add_handle(multi, transfer.easy) == CURLM_OK else {
            end(
                order.ticket, transfer,
                .failure(Failure(.internal, "cannot \(order.request.purpose)", why: "libcurl took no more work")))
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
