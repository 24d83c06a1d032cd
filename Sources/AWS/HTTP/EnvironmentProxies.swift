import SecureSocket

extension ProxySettings {
    public init(environment: Environment) { self.init { environment[$0] } }
}
