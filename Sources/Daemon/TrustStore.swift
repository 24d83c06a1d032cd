import AWS
import Failures
import Glibc
import Logging
import OpenSSL
import Synchronization

/// Whom tunnels trust, by the file that has the authorities: AWS's profiles may name one each. A file that has changed is read
/// anew, and nothing that was verified by the old one is used with it: sessions belong to a context.
///
/// Reads small local files where it is asked, as ``SharedConfigFiles`` does. From any thread.
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

    private let entries = Mutex<[String: Entry]>([:])
    /// The system's, of which nothing is read before it is asked for with ``context(trusting:)``.
    let system = TLSContext()

    /// - Parameter path: a file of PEM certificates; nil: the system's.
    /// - Throws: `.configuration` where it cannot be used.
    func context(trusting path: String?) throws(Failure) -> TLSContext {
        do throws(TLSError) {
            guard let path else {
                try system.prepare()
                return system
            }
            let mark = Self.mark(path)
            if let known = entries.withLock({ $0[path] }), known.mark == mark { return known.context }
            let context = try TLSContext(trustingFile: path)
            // Of two that read it at the same time one is kept, so that both share its sessions.
            return entries.withLock { entries in
                if let known = entries[path], known.mark == mark { return known.context }
                entries[path] = Entry(mark: mark, context: context)
                return context
            }
        } catch {
            throw Failure(.configuration, error.reason, hint: Self.hint)
        }
    }

    /// Looks into the file that is trusted where no profile is named, without OpenSSL, which the first tunnel sets up.
    ///
    /// - Throws: `.configuration` where it cannot be read or has no certificate in it, so that this is told when the daemon starts.
    static func check(_ context: AWSContext, _ logger: Logger) throws(Failure) {
        let path: String?
        do throws(Failure) {
            path = try context.trustRoots(profile: nil)
        } catch {
            // A mistake in the AWS files costs the connections that need them, each with this reason, and not the daemon.
            logger.warning("the trust roots are unknown until the AWS files are right: \(error)")
            return
        }
        guard let path, let reason = Self.obstacle(to: path) else { return }
        throw Failure(.configuration, "cannot use the trust roots in \(path)", why: reason, hint: Self.hint)
    }

    /// Why a file cannot be one of PEM certificates.
    private static func obstacle(to path: String) -> String? {
        do throws(Failure) {
            guard let bytes = try LocalFile.read(path, limit: largestFile) else {
                return mark(path) == nil ? "there is no such file" : "it is a folder"
            }
            let isOne = ["", "TRUSTED ", "X509 "].contains {
                bytes.contains(Array("-----BEGIN \($0)CERTIFICATE-----".utf8))
            }
            return isOne ? nil : "there is no certificate in it"
        } catch {
            return error.why
        }
    }

    private static let hint = "check AWS_CA_BUNDLE, ca_bundle and SSL_CERT_FILE"
    /// In bytes. A system's bundle has a quarter of a megabyte.
    private static let largestFile = 16 << 20

    private static func mark(_ path: String) -> Mark? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Mark(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }
}
