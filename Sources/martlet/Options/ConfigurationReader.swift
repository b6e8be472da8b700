/// Puts flags, environment and configuration file together, as etcd does: a file replaces the others altogether; a
/// variable fills in what no flag gives; the same setting by flag and by variable is refused.
package struct ConfigurationReader {
    /// A line to be logged once the logger stands.
    package struct Note: Sendable, Equatable {
        package var isWarning: Bool
        package var message: String
        package var fields: [String: String]
    }

    package enum Result: Sendable, Equatable {
        case help
        case version
        case serve(ServerConfiguration, [Note])
    }

    private var configuration = ServerConfiguration()
    private var notes: [Note] = []

    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - environment: name and value of each variable.
    ///   - readFile: the text of a file, or why it cannot be read, as `open <path>: <reason>`.
    package static func read(
        arguments: [String], environment: [(name: String, value: String)],
        readFile: (String) throws(ValueError) -> String
    ) throws(Refusal) -> Result {
        let line = try ParsedArguments(arguments)
        if line.wantsHelp { return .help }
        if line.wantsVersion { return .version }
        if let word = line.positional { throw .invalid("'\(word)' is not a valid flag") }
        var reader = ConfigurationReader()
        try reader.setDefaults()
        for name in line.ignored {
            reader.note(warning: true, "ignored a flag from before 3.0; remove it", ["flag": "--\(name)"])
        }
        let fromEnvironment = environment.first { $0.name == "ETCD_CONFIG_FILE" && !$0.value.isEmpty }?.value
        if let path = line.configFile ?? fromEnvironment {
            try reader.readFile(path, readFile)
        } else {
            try reader.readFlags(line)
            try reader.readEnvironment(environment, line)
        }
        do throws(ValueError) {
            try reader.configuration.validate(fromFile: line.configFile ?? fromEnvironment != nil)
        } catch {
            throw .invalid(error.description)
        }
        return .serve(reader.configuration, reader.notes)
    }

    private mutating func note(warning: Bool, _ message: String, _ fields: [String: String]) {
        notes.append(Note(isWarning: warning, message: message, fields: fields))
    }

    private mutating func setDefaults() throws(Refusal) {
        for flag in FlagTable.all {
            guard case .active(let store) = flag.support else { continue }
            // The default of --initial-cluster follows from other flags.
            if flag.name == "initial-cluster" { continue }
            do throws(ValueError) {
                store(&configuration, try flag.kind.parse(flag.defaultText))
            } catch {
                preconditionFailure("default of --\(flag.name): \(error)")
            }
        }
    }

    private mutating func readFlags(_ line: ParsedArguments) throws(Refusal) {
        for setting in line.settings {
            guard let flag = FlagTable.flag(named: setting.name) else { continue }
            do throws(ValueError) {
                try store(flag, setting.text, as: "--\(flag.name)")
            } catch {
                throw .invalid(error.description)
            }
        }
    }

    private mutating func readEnvironment(
        _ environment: [(name: String, value: String)], _ line: ParsedArguments
    ) throws(Refusal) {
        let given = Set(line.settings.map { Flag.variable(of: $0.name) })
        for variable in environment where given.contains(variable.name) {
            throw .fatal(
                "conflicting environment variable is shadowed by corresponding command-line flag "
                    + "(either unset environment variable or disable flag))",
                ["environment-variable": variable.name])
        }
        let flags = Dictionary(uniqueKeysWithValues: FlagTable.known.map { ($0.variable, $0) })
        for (name, value) in environment.sorted(by: { $0.name < $1.name }) where name.hasPrefix("ETCD_") {
            guard let flag = flags[name] else {
                note(warning: true, "unrecognized environment variable", ["environment-variable": "\(name)=\(value)"])
                continue
            }
            // An empty variable is an unset one.
            if value.isEmpty { continue }
            do throws(ValueError) {
                try store(flag, value, as: name)
            } catch {
                throw .invalid(error.description)
            }
            note(
                warning: false, "recognized and used environment variable",
                ["variable-name": name, "variable-value": value])
        }
    }

    private mutating func readFile(
        _ path: String, _ readFile: (String) throws(ValueError) -> String
    ) throws(Refusal) {
        do throws(ValueError) {
            for entry in try ConfigurationFile.entries(of: readFile(path)) {
                guard let flag = FlagTable.flag(fileKey: entry.key) else {
                    throw ValueError("unknown key \"\(entry.key)\" in configuration file \(path)")
                }
                let text = try entry.text(for: flag.kind)
                try store(flag, text, as: "\"\(entry.key)\" in configuration file \(path)")
            }
        } catch {
            throw .invalid(error.description)
        }
        note(
            warning: false,
            "loaded server configuration, other configuration command line flags and environment variables will be "
                + "ignored if provided", ["path": path])
    }

    /// - Parameter origin: how the operator wrote it, for errors.
    private mutating func store(_ flag: Flag, _ text: String, as origin: String) throws(ValueError) {
        let value: FlagValue
        do throws(ValueError) {
            value = try flag.kind.parse(text)
        } catch {
            throw ValueError("invalid value \"\(text)\" for \(origin): \(error)")
        }
        switch flag.support {
        case .active(let store):
            store(&configuration, value)
            configuration.explicit.insert(flag.name)
        case .notYet:
            guard value == (try flag.kind.parse(flag.defaultText)) else {
                let byDefault = flag.defaultText.isEmpty ? "unset" : flag.defaultText
                throw ValueError(
                    "\(origin) is a setting of etcd that Martlet does not support yet; remove it, or leave it at its "
                        + "default (\(byDefault))")
            }
        }
    }
}
