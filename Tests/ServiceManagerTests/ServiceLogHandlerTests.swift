import Glibc
import Logging
import Testing

@testable import ServiceManager

@Suite struct ServiceLogHandlerTests {
    /// What a logger writes to a pipe.
    private func written(level: Logger.Level = .info, _ body: (inout Logger, LogThreshold) -> Void) throws -> String {
        var ends: [CInt] = [0, 0]
        try #require(pipe(&ends) == 0)
        let threshold = LogThreshold(level)
        let handler = ServiceLogHandler(destination: .descriptor(ends[1], .text), threshold: threshold)
        var logger = Logger(label: "test", factory: { _ in handler })
        body(&logger, threshold)
        close(ends[1])
        defer { close(ends[0]) }
        var buffer = [UInt8](repeating: 0, count: 4_096)
        return String(decoding: buffer[..<max(0, read(ends[0], &buffer, buffer.count))], as: UTF8.self)
    }

    @Test func aLineIsLevelMessageAndFields() throws {
        let text = try written { logger, _ in
            logger[metadataKey: "forward"] = "db"
            logger[metadataKey: "tunnel"] = "old"
            logger.notice("tunnel open", metadata: ["tunnel": "t-1"])
            logger.error("failed\nhard")
        }
        #expect(text == "notice: tunnel open forward=db tunnel=t-1\nerror: failed\\nhard forward=db tunnel=old\n")
    }

    @Test func whatIsLessSeriousThanTheLevelIsNotWritten() throws {
        let text = try written(level: .warning) { logger, threshold in
            logger.info("one")
            logger.warning("two")
            // A reload changes the level of loggers that exist.
            threshold.level = .debug
            logger.debug("three")
            logger.trace("four")
            // A level of its own wins.
            logger.logLevel = .critical
            logger.error("five")
        }
        #expect(text == "warning: two\ndebug: three\n")
    }

    @Test func aDescriptorThatCannotBeWrittenStopsNobody() {
        let handler = ServiceLogHandler(destination: .descriptor(-1, .text), threshold: LogThreshold(.info))
        Logger(label: "test", factory: { _ in handler }).critical("nobody hears this")
    }
}
