/// ArgumentParser's completion script for bash, without what is not safe in it.
///
/// The script hands the words that a command prints to `compgen -W`, which expands them like a part of a script (bash(1),
/// "Programmable Completion"): `$(…)` in a name would run. What is printed is compared as text instead.
enum BashScript {
    private static let expanding = #"__eicectl_add_completions -W "$(__eicectl_custom_complete "#
    private static let literal = #"__eicectl_add_words "$(__eicectl_custom_complete "#
    private static let start = "_eicectl() {\n"

    private static let addWords = #"""
        # Adds the lines of the first argument that begin with the current word, as they are.
        __eicectl_add_words() {
            local word
            while IFS='' read -r word; do
                if [[ -n "${word}" && "${word}" != *[!A-Za-z0-9_./+,-]* && "${word}" = "${cur}"* ]]; then
                    COMPREPLY+=("${word}")
                fi
            done <<< "${1}"
        }

        """#

    /// - Returns: nil where the script has another form than the one that is known, which a test would tell.
    static func safe(_ script: String) -> String? {
        guard let place = script.ranges(of: start).first, script.contains(expanding) else { return nil }
        var script = script
        script.insert(contentsOf: addWords + "\n", at: place.lowerBound)
        script = script.replacing(expanding, with: literal)
        return script.contains(#"-W "$("#) ? nil : script
    }
}
