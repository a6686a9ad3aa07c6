#pragma once
// The command line: parses it, runs one command, turns its error into a message and an exit status.

namespace exo::app {

// 0: done; 1: the command failed (its message is on standard error); 2: the command line was wrong.
int run_command_line(int argc, char** argv);

}  // namespace exo::app
