import AWS
import Bounds
import Failures
import Glibc
import Logging
import OpenSSL
import SocketIO
import Synchronization

/// Whom tunnels trust, by the file that has the authorities: AWS's profiles may name one each. A file that has changed is read
/// anew, and nothing that was verified by the old one is used with it: sessions belong to a context.
///
/// Files are read on the pool for files, as ``SharedConfigFiles`` does: one read of a file at a time, and a caller waits no longer than
/// ``LocalFile/patience``. From any thread.
final class TrustStore: Sendable {
    private struct Mark: Hashable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
    }

    private struct Entry {
        var mark: Mark?
        var context: TLSContext
    }

    private struct State {
        var entries = Recent<String, Entry>()
        var isSystemReady = false
    }

    private let state = Mutex(State())
    private let readings = BlockingFlights<String?, Result<TLSContext, Failure>>(pool: .files)
    /// The system's, of which nothing is read before it is asked for with ``context(trusting:)``.
    let system = TLSContext()

    /// - Parameter path: a file of PEM certificates; nil: the system's.
    /// - Throws: `.configuration` where it cannot be used; `.deadline` where it hangs or the calling task is cancelled.
    func context(trusting path: String?) async throws(Failure) -> TLSContext {
        if path == nil, state.withLock(\.isSystemReady) { return system }
        let outcome = await readings.run(path, within: LocalFile.patience) {
            Result { () throws(Failure) in try self.read(path) }
        }
        return try LocalFile.value(of: outcome, "read", path ?? "the system's certificates").get()
    }

    /// Blocks.
    private func read(_ path: String?) throws(Failure) -> TLSContext {
        do throws(TLSError) {
            guard let path else {
                try system.prepare()
                state.withLock { $0.isSystemReady = true }
                return system
            }
            let mark = Self.mark(path)
            if let known = state.withLock({ $0.entries.use(path, at: .now) }), known.mark == mark {
                return known.context
            }
            let certificates = try Self.certificates(path)
            readings.cannotHangAnyMore(path)
            let context = try TLSContext(trusting: certificates, of: path)
            state.withLock { $0.entries.set(Entry(mark: mark, context: context), for: path, at: .now) }
            return context
        } catch {
            throw Failure(.configuration, error.reason, hint: Self.hint)
        }
    }

    private static func certificates(_ path: String) throws(TLSError) -> [UInt8] {
        let why: String
        do throws(Failure) {
            if let bytes = try LocalFile.readBlocking(path, limit: LocalFile.largestBundle) { return bytes }
            why = Self.mark(path) == nil ? "there is no such file" : "it is a folder"
        } catch {
            why = error.why
        }
        throw TLSError(.configuration, "cannot read the trust roots in \(path): \(why)")
    }

    /// Looks into the file that is trusted where no profile is named, without OpenSSL, which the first tunnel sets up.
    ///
    /// - Throws: `.configuration` where it cannot be read or has no certificate in it, so that this is told when the daemon starts;
    ///   `.deadline` where it hangs.
    static func check(_ context: AWSContext, _ logger: Logger) async throws(Failure) {
        let path: String?
        do throws(Failure) {
            path = try await context.trustRoots(profile: nil)
        } catch {
            // A mistake in the AWS files costs the connections that need them, each with this reason, and not the daemon.
            logger.warning("the trust roots are unknown until the AWS files are right: \(error)")
            return
        }
        guard let path, let reason = try await Self.obstacle(to: path) else { return }
        throw Failure(.configuration, "cannot use the trust roots in \(path)", why: reason, hint: Self.hint)
    }

    /// Why a file cannot be one of PEM certificates.
    private static func obstacle(to path: String) async throws(Failure) -> String? {
        do throws(Failure) {
            guard let bytes = try await LocalFile.read(path, limit: LocalFile.largestBundle) else {
                return mark(path) == nil ? "there is no such file" : "it is a folder"
            }
            let isOne = ["", "TRUSTED ", "X509 "].contains {
                bytes.contains(Array("-----BEGIN \($0)CERTIFICATE-----".utf8))
            }
            return isOne ? nil : "there is no certificate in it"
        } catch {
            if error.kind == .deadline { throw error }
            return error.why
        }
    }

    private static let hint = "check AWS_CA_BUNDLE, ca_bundle and SSL_CERT_FILE"

    private static func mark(_ path: String) -> Mark? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Mark(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }
}
