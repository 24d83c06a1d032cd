import InstanceConnect
import Tunnels

/// The configuration in the terms of those whom it concerns.
extension Configuration {
    var poolLimits: GatewayPools.Limits {
        var limits = GatewayPools.Limits()
        limits.defaultCap = Endpoint().maxConnections
        limits.caps = endpoints.mapValues(\.maxConnections)
        limits.queueLength = pool.queueLength
        return limits
    }

    /// Of forwards that were added by request.
    var access: AccessRules {
        AccessRules(users: defaults.allowUsers ?? [], networks: defaults.allowNetworks)
    }

    var spareSettings: SpareSettings {
        var settings = SpareSettings()
        settings.count = pool.spares
        settings.timeToLive = pool.spareTimeToLive
        return settings
    }
}
