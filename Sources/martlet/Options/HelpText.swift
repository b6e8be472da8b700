/// The texts of `--help` and `--version`, and the short usage that follows a bad flag.
package enum HelpText {
    package static let usage = """
        Usage:

          martlet [flags]
            Start a member.

          martlet --version
            Show the version.

          martlet -h | --help
            Show what each flag does.

          martlet --config-file <path>
            Start with the settings of a YAML or JSON file; all other flags and variables are then ignored.

        """

    /// Every flag with its kind, default and meaning; those that are not there yet in one list at the end.
    package static var help: String {
        var text = usage
        text += """

            Martlet takes etcd's flags: -x and --x are the same, --x=v and --x v too, and each one can be given as a
            variable: --snapshot-count as ETCD_SNAPSHOT_COUNT. Try it on this machine:

              martlet --data-dir /tmp/martlet
              etcdctl put greeting hello

            Durations are written like 300ms or 1m30s, lists with commas.

            """
        for section in FlagTable.sections where section.flags.contains(where: \.isActive) {
            text += "\n\(section.title):\n"
            for flag in section.flags where flag.isActive {
                text += "  --\(flag.name) '\(flag.defaultText)'\n      \(flag.summary) (\(flag.kind.name))\n"
            }
        }
        text += "\nFlags of etcd that Martlet does not support yet (accepted with their default values only):\n"
        var line = " "
        for flag in FlagTable.all where !flag.isActive {
            let word = " --\(flag.name)"
            if line.count + word.count > 100 {
                text += line + "\n"
                line = " "
            }
            line += word
        }
        return text + line + "\n"
    }

    /// - Parameters:
    ///   - swift: the compiler's version, such as `6.3.1`.
    ///   - platform: such as `linux/amd64`.
    package static func version(swift: String, platform: String) -> String {
        """
        etcd Version: \(Version.api)
        Martlet Version: \(Version.martlet)
        Swift Version: \(swift)
        OS/Arch: \(platform)

        """
    }
}
