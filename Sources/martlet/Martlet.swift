internal import Foundation
internal import Logging
internal import PlatformLinux

/// The server's process: settings, log, member, listeners, and an orderly end.
@main enum Martlet {
    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        switch read(arguments) {
        case .success(.help):
            print(HelpText.help, terminator: "")
        case .success(.version):
            print(HelpText.version(swift: Version.swift, platform: Version.platform), terminator: "")
        case .success(.serve(let configuration, let notes)):
            await serve(configuration, notes)
        case .failure(let refusal):
            refuse(refusal)
        }
    }

    private static func read(_ arguments: [String]) -> Result<ConfigurationReader.Result, Refusal> {
        let environment = ProcessInfo.processInfo.environment.map { (name: $0.key, value: $0.value) }
        return Result { () throws(Refusal) in
            try ConfigurationReader.read(
                arguments: arguments, environment: environment, readFile: ConfigurationFile.read)
        }
    }

    private static func serve(_ configuration: ServerConfiguration, _ notes: [ConfigurationReader.Note]) async {
        let writer: LogWriter
        do throws(ValueError) {
            writer = try LogWriter(names: configuration.logOutputs)
        } catch {
            refuse(.invalid(error.description))
        }
        let handler = ZapLogHandler(
            writer: writer, format: configuration.logFormat == "console" ? .console : .json,
            level: ZapLogHandler.level(named: configuration.logLevel))
        LoggingSystem.bootstrap { _ in handler }
        let logger = Logger(label: "martlet")
        for note in notes {
            let fields = note.fields.mapValues { Logger.MetadataValue.string($0) }
            logger.log(level: note.isWarning ? .warning : .info, "\(note.message)", metadata: fields)
        }
        logger.info("Running: ", metadata: ["args": .array(CommandLine.arguments.map { .string($0) })])
        await ServerProcess(configuration: configuration, logger: logger).run()
    }

    /// Says why the process does not start, and ends it.
    private static func refuse(_ refusal: Refusal) -> Never {
        let logger = Logger(label: "martlet") { _ in
            ZapLogHandler(writer: LogWriter(outputs: [.standardError]), format: .json, level: .info)
        }
        switch refusal {
        case .usage(let reason):
            FileHandle.standardError.write(Data("\(reason)\n\(HelpText.usage)".utf8))
        case .invalid(let reason):
            logger.warning("failed to verify flags", metadata: ["error": .string(reason)])
        case .fatal(let message, let fields):
            logger.critical("\(message)", metadata: fields.mapValues { .string($0) })
        }
        exit(refusal.exitCode)
    }
}
