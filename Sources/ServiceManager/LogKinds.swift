/// The kinds of log entries that a program may wait for, each with the id that the journal knows it by (`MESSAGE_ID`,
/// systemd.journal-fields(7)) and for which `systemd/eiced.catalog` has an explanation.
///
/// Whoever logs names the kind in the metadata, as `event`: `metadata: ["event": "tunnel-opened"]`.
public enum LogKinds {
    /// The metadata's key.
    public static let key = "event"

    /// By name. An id stays what it is for good, since people search for it.
    public static let ids: [String: String] = [
        "started": "d387c39231b14d67bb9d703831410d1a",
        "stopping": "2afb991c7a4e44c386e4366ad1a98cb5",
        "handed-over": "0952a103d8db43a38a76d7b6865152f4",
        "connections-held": "590fac10f6194e08b18622a8cb91c108",
        "reloaded": "4b071da781414816b65434f4f4048c16",
        "reload-failed": "fb737d45fd4c416a9049ae362a510585",
        "forward-added": "46ab4857878e456faa58806e463c50be",
        "forward-changed": "d7655fabdfa2437ea1363919d174c4e4",
        "forward-removed": "2d63b145a3ea49978b57973d9ee2a8c6",
        "forward-not-served": "87554a89b9a241329d211d3345773b81",
        "tunnel-opened": "f8de9e2b50764b6f9ff1eb1b8091834a",
        "tunnel-closed": "0f1a1707eb3141e2b7ef0a71e8e936a3",
        "tunnel-expiring": "52f61e3a588040839cca7b3da91e5433",
        "endpoint-full": "7c1c234445774a4ea828b8fec628b668",
        "login-needed": "deb99c5fb01d491f9e25313e17350a11",
        "log-lost": "320e331f49864db3b645d05818324e75",
        "socket-gone": "03fb923066884b8f897fc2b2ea75ddac",
        "listens-again": "534fddea64a84ddd8500f80afb2734a6",
        "start-waits": "3e0bb99fcb57464ca5e2744a9b6a9cec",
    ]
}
