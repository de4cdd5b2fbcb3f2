#!/bin/sh
# A complete agent in POSIX sh and curl: it reads its task, lets the model run scripts through the platform, and leaves
# its answer. Of JSON it knows where a string begins and ends; strings are passed on exactly as they were written.
# Limits: one tool (exec), one call a model reply, and providers that speak the OpenAI format.
set -eu
ipc=${K8SCLAW_IPC_DIR:-/ipc} LC_ALL=C
export LC_ALL
reply=$(mktemp)

# raw KEY: the first string under that key in the JSON on standard input, with its quotes and escapes. The pattern cannot
# be met inside another string, because there every quote has a backslash before it.
raw() {
  tr -d '\n' | awk -v key="$1" 'match($0, "\"" key "\" *: *\"([^\"\\\\]|\\\\.)*\"") {
    s = substr($0, RSTART, RLENGTH); sub(/^"[^"]*" *: */, "", s); print s }'
}

# inner: the JSON that a JSON string holds. One level of escapes goes; \u stays, for it means the same one level down.
inner() {
  awk '{ s = substr($0, 2, length($0) - 2); out = ""
    while (match(s, /\\./)) { c = substr(s, RSTART + 1, 1); out = out substr(s, 1, RSTART - 1)
      out = out (c ~ /[ntr]/ ? " " : c == "u" ? "\\u" : c); s = substr(s, RSTART + 2) } print out s }'
}

# put FILE TEXT: the file appears whole, under a name that begins with a dot until it is.
put() {
  mkdir -p "${1%/*}"
  printf '%s\n' "$2" >"${1%/*}/.${1##*/}.tmp" && mv "${1%/*}/.${1##*/}.tmp" "$1"
}

# fail CODE MESSAGE: the message is a JSON string.
fail() {
  put "$ipc/output/result.json" "{\"status\":\"error\",\"error\":{\"code\":\"$1\",\"message\":$2}}"
  exit 0
}

pause() { sleep 0.1 2>/dev/null || sleep 1; }
input=$ipc/input
until [ -e "$input/task.json" ]; do pause; done
trap 'exit 0' TERM
(until [ -e "$input/cancel.json" ]; do pause; done; (fail cancelled '"the run was cancelled"'); kill $$) &
watcher=$!
trap 'kill $watcher $! 2>/dev/null || true; rm -f "$reply"' EXIT

model=$(tr -d '\n' <"$input/task.json" | sed 's/.*"model" *: *{\([^}]*\)}.*/{\1}/' | raw name)
messages="{\"role\":\"user\",\"content\":$(raw task <"$input/task.json")}"
system=$(raw systemPrompt <"$input/task.json")
[ -z "$system" ] || messages="{\"role\":\"system\",\"content\":$system},$messages"
tools=
if grep -q '"name" *: *"exec"' "$input/task.json"; then
  parameters='{"type":"object","properties":{"script":{"type":"string"}},"required":["script"]}'
  tools=",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"exec\",\"description\":\"Run a script with /bin/sh\",\"parameters\":$parameters}}]"
fi

step=0
while [ $((step += 1)) -le 20 ]; do
  # In the background, because only wait is interrupted when the run is cancelled.
  printf '{"model":%s,"messages":[%s]%s}' "$model" "$messages" "$tools" |
    curl -sS -o "$reply" -w '%{http_code}' -H "Authorization: Bearer $OPENAI_API_KEY" \
      -H 'Content-Type: application/json' --data-binary @- "$OPENAI_BASE_URL/chat/completions" >"$reply.code" &
  wait $! || true
  code=$(cat "$reply.code"; rm "$reply.code")
  [ "$code" = 200 ] || fail model "$(raw message <"$reply" | grep . || echo "\"the model call failed: HTTP $code\"")"

  arguments=$(raw arguments <"$reply")
  if [ -z "$arguments" ]; then
    content=$(raw content <"$reply")
    put "$ipc/output/result.json" "{\"status\":\"success\",\"response\":${content:-\"\"}}"
    exit 0
  fi
  name=$(raw name <"$reply")
  id=$(sed 's/.*"tool_calls" *: *\[//' "$reply" | raw id)
  put "$ipc/tools/step-$step.json" "{\"id\":\"step-$step\",\"tool\":$name,\"input\":$(printf '%s\n' "$arguments" | inner)}"
  until [ -e "$input/results/step-$step.json" ]; do pause; done
  answer=$(tr -d '\n' <"$input/results/step-$step.json" |
    sed -e 's/^{"id":"[^"]*","ok":true,"output":\(.*\)}$/\1/' -e 's/\\/\\\\/g' -e 's/"/\\"/g')
  messages="$messages,{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":$id,\"type\":\"function\",\"function\":{\"name\":$name,\"arguments\":$arguments}}]}"
  messages="$messages,{\"role\":\"tool\",\"tool_call_id\":$id,\"content\":\"$answer\"}"
done
fail max_steps '"the task was not done after 20 model calls"'
