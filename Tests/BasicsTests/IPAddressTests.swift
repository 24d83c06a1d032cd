import Basics
import Testing

@Suite struct IPAddressTests {
    @Test(
        "a network contains its own addresses up to the last bit of its prefix",
        arguments: [
            ("10.0.0.0", 8, "10.255.255.255", true), ("10.0.0.0", 8, "11.0.0.0", false),
            ("10.0.0.0", 9, "10.127.255.255", true), ("10.0.0.0", 9, "10.128.0.0", false),
            ("192.168.1.128", 25, "192.168.1.255", true), ("192.168.1.128", 25, "192.168.1.127", false),
            ("192.168.1.4", 31, "192.168.1.5", true), ("192.168.1.4", 31, "192.168.1.6", false),
            ("192.168.1.4", 32, "192.168.1.4", true), ("192.168.1.4", 32, "192.168.1.5", false),
            ("192.168.1.4", 33, "192.168.1.4", false), ("192.168.1.4", -1, "192.168.1.4", false),
            ("1.2.3.4", 0, "250.1.1.1", true), ("2001:db8::", 33, "2001:db8:7fff::1", true),
            ("2001:db8::", 33, "2001:db8:8000::1", false), ("fd00::1", 128, "fd00::1", true),
            ("fd00::1", 128, "fd00::2", false), ("fd00::1", 129, "fd00::1", false), ("::", 0, "fd00::2", true),
            // An IPv4 address is in no IPv6 network, and the other way round.
            ("::", 0, "10.0.0.1", false), ("0.0.0.0", 0, "::1", false),
        ])
    func networks(network: String, length: Int, address: String, isIn: Bool) throws {
        let (network, address) = (try #require(IPAddress(network)), try #require(IPAddress(address)))
        #expect(address.isIn(network, prefixLength: length) == isIn)
    }

    @Test(
        "loopback addresses are 127.0.0.0/8 and ::1",
        arguments: [
            ("127.0.0.1", true), ("127.255.255.254", true), ("126.255.255.255", false), ("128.0.0.1", false),
            ("::1", true), ("::", false), ("::2", false), ("100::1", false), ("::ffff:127.0.0.1", false),
        ])
    func loopback(address: String, isLoopback: Bool) throws {
        #expect(try #require(IPAddress(address)).isLoopback == isLoopback)
    }

    @Test(
        "a text that is no address is refused",
        arguments: ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "fe80::1%eth0", "[::1]", "a"])
    func rubbish(text: String) { #expect(IPAddress(text) == nil) }

    @Test("an address is written in its shortest usual form")
    func description() throws {
        #expect(try #require(IPAddress("2001:DB8:0:0::0005")).description == "2001:db8::5")
        #expect(try #require(IPAddress("10.0.1.5")).description == "10.0.1.5")
    }
}
