import CLinux
import Glibc

/// Many connections to one port as some user of the machine, one after another, in all the ways in which a client can
/// come and go. A Perl program, since Debian's base system always has one.
public enum Crowd {
    /// A user that no program of the tests runs as: Debian's nobody.
    public static let stranger: UInt32 = 65_534

    /// Only root can be somebody else.
    public static var canBeAnotherUser: Bool { getuid() == 0 && access("/usr/bin/perl", X_OK) == 0 }

    public struct Report: Sendable {
        /// Connections that were made.
        public var connected = 0
        /// Of these, those that waited for an answer.
        public var waited = 0
        /// Connections that got a byte.
        public var served = 0
    }

    /// Starts `count` connections as `uid`.
    ///
    /// - Parameter staying: only those clients that wait for an answer.
    public static func start(_ count: Int, to port: UInt16, as uid: UInt32, staying: Bool = false) throws
        -> ChildProcess
    {
        try ChildProcess(
            "/usr/bin/perl", ["-e", program, String(port), String(count), String(uid), staying ? "1" : "0"],
            diesWithParent: true)
    }

    public static func report(of child: ChildProcess) async throws -> Report {
        guard try await child.exit(within: .seconds(120)) == .code(0) else {
            throw TestFailure("perl: \(child.standardError)")
        }
        let numbers = child.standardOutput.split(separator: " ").compactMap { Int($0.filter(\.isNumber)) }
        guard numbers.count == 3 else { throw TestFailure("perl said \(child.standardOutput)") }
        return Report(connected: numbers[0], waited: numbers[1], served: numbers[2])
    }

    private static let program = """
        use strict; use Socket; use Errno;
        my ($port, $count, $uid, $staying) = @ARGV;
        if ($uid != $<) { $( = $) = "$uid $uid"; ($<, $>) = ($uid, $uid); die "still $<" unless $< == $uid && $> == $uid; }
        $SIG{PIPE} = "IGNORE";
        my $address = sockaddr_in($port, INADDR_LOOPBACK);
        my ($connected, $waited, $served) = (0, 0, 0);
        for my $number (0 .. $count - 1) {
            socket(my $client, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
            # A refusal can be quicker than the return of connect.
            connect($client, $address) or $!{ECONNRESET} or die "connect: $!";
            $connected++;
            my $way = $staying ? 4 + $number % 2 : $number % 6;
            if ($way == 0) { close $client; next; }
            setsockopt($client, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0)) if $way == 1;
            syswrite($client, "let me in\\n");
            if ($way <= 2) { close $client; next; }
            if ($way == 3) { shutdown($client, 1); close $client; next; }
            shutdown($client, 1) if $way == 4;
            $waited++;
            my $bytes = sysread($client, my $answer, 64);
            $served++ if $bytes;
            close $client;
        }
        print "$connected $waited $served";
        """
}
