import AWS
import InstanceConnect
import Testing

@Suite struct EndpointTests {
    @Test("a dot at the end of a DNS name is left out", arguments: ["eice-0.example.com", "eice-0.example.com."])
    func finalDot(name: String) {
        #expect(Endpoint(id: "eice-0", dnsName: name, nearness: .pinned).dnsName == "eice-0.example.com")
    }

    @Test(
        "ids of endpoints",
        arguments: [
            ("eice-0123456789abcdef0", true), ("eice-", false), ("eice-0 ", false), ("eice-0\n", false),
            ("EICE-0", false), ("eice-é", false), ("", false),
        ])
    func ids(text: String, isOne: Bool) { #expect(Endpoint.isID(text) == isOne) }
}
