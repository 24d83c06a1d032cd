import FoundationEssentials

/// The repository that the tests were built from, for tests that hold its documents against the code.
public enum Repository {
    /// The path of its folder.
    public static let root: String = {
        var folder = URL(filePath: #filePath)
        repeat {
            folder.deleteLastPathComponent()
        } while folder.path != "/"
            && !FileManager.default.fileExists(atPath: folder.appending(path: "Package.swift").path)
        return folder.path
    }()

    /// The text of a file, by its path in the repository.
    /// - Throws: Foundation's error if the file cannot be read.
    public static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: "\(root)/\(path)")), as: UTF8.self)
    }
}
