// Package cli is the command line. A command is one row of the table of commands: its name, its
// help, and a function that declares its flags and returns what runs it. Everything that a command
// can be given is therefore in the command's own file, and what all of them have is an env.
//
// Main parses a command line, runs one command, prints its error and returns the exit code; nothing
// else in the program does. Only serve and demo start an exporter (internal/app). The other commands
// make their parts with internal/setup as the exporter does, and only cleanup and export change
// anything.
package cli
