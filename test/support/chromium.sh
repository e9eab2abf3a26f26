#!/bin/sh
# Chromium for a whole test file: started as the child of this shell, because Bun sends SIGTERM to its own child processes
# when one test passes its limit. Ends with the test process, whose end of the pipes 3 and 4 it hears.
trap : TERM
"$CHROMIUM" "$@" <&0 &
browser=$!
while :; do
  wait "$browser"
  code=$?
  kill -0 "$browser" 2>/dev/null || exit "$code"
done
