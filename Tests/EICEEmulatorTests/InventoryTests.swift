import Failures
import SocketIO
import Testing

@testable import EICEEmulator

@Suite struct InventoryTests {
    private func parse(_ json: String) throws -> Inventory { try Inventory.parse(Array(json.utf8), name: "test.json") }

    private func why(_ json: String) -> String {
        do {
            _ = try parse(json)
            return "it was accepted"
        } catch {
            return (error as? Failure).map { "\($0.kind.rawValue) \($0.sentence)" } ?? "\(error)"
        }
    }

    @Test func theExampleIsGood() throws {
        let inventory = try parse(Inventory.example)
        #expect(inventory.endpoints.map(\.maxConnections) == [20])
        let state = EmulatorState(inventory: inventory, faults: [], defaultLimit: 20)
        #expect(state.socketAddress(ofTarget: "10.0.1.5", port: 22) == SocketAddress(ip: "127.0.0.1", port: 2_022))
        #expect(state.socketAddress(ofTarget: "10.0.1.5", port: 23) == nil)
    }

    @Test func mistakesAreNamed() {
        #expect(why("{").contains("malformed-file"))
        #expect(why(#"{"endpoints":[{"dnsName":"x"}]}"#).contains("endpoints[0].id: it is missing"))
        #expect(why(#"{"endpoints":[{"id":"eice-1","maxConnection":3}]}"#).contains("\"maxConnection\" is unknown"))
        #expect(why(#"{"instances":[{"id":"i-1","privateIp":"10.0.0"}]}"#).contains("10.0.0 is no IP address"))
        #expect(why(#"{"instances":[{"id":"i-1"},{"id":"i-1"}]}"#).contains("i-1 stands there twice"))
        #expect(why(#"{"targets":{"10.0.0.1:22":"2022"}}"#).contains("2022 is not ADDRESS:PORT"))
        #expect(
            why(#"{"endpoints":[{"id":"eice-1","maxConnections":"many"}]}"#).contains("endpoints[0].maxConnections"))
    }

    @Test func shorthandsMakeInstancesAndAnEndpoint() throws {
        var inventory = Inventory()
        try inventory.addTarget("10.0.1.5:22=localhost:2022")
        try inventory.addTarget("[fd00::5]:22=[::1]:2022")
        #expect(inventory.instances.count == 2)
        try inventory.addInstance("i-0abc1234def567890=10.0.1.5")
        inventory.addDefaultEndpoint()
        try inventory.check(name: "test")
        #expect(inventory.instances.map(\.privateIp).contains("10.0.1.5"))
        #expect(inventory.instance(address: "10.0.1.5")?.id == "i-0abc1234def567890")
        #expect(inventory.instance(address: "FD00:0::5")?.ipv6 == "fd00::5")
        let state = EmulatorState(inventory: inventory, faults: [], defaultLimit: 20)
        #expect(state.socketAddress(ofTarget: "FD00::5", port: 22) == SocketAddress(ip: "::1", port: 2_022))
        #expect(inventory.endpoints.count == 1)
        #expect(throws: Failure.self) { try inventory.addTarget("10.0.1.5=127.0.0.1:22") }
        #expect(throws: Failure.self) { try inventory.addInstance("web=10.0.1.5") }
    }

    @Test func aStoppedInstanceCannotBeReached() throws {
        var inventory = try parse(Inventory.example)
        try #require(inventory.instances.count == 1)
        inventory.instances[0].state = "stopped"
        #expect(inventory.reachableTargets.isEmpty)
    }
}
