import Glibc

let arguments = Swift.CommandLine.arguments
switch (arguments.dropFirst().first, arguments.count) {
case ("fill", 4): try fill(arguments[2], Int(arguments[3]) ?? 0)
case ("measure", 3): try measure(arguments[2], seconds: 60)
default:
    say("usage: spool-bench fill DIRECTORY COUNT | spool-bench measure DIRECTORY")
    exit(2)
}
