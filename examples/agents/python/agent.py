#!/usr/bin/env python3
"""A complete agent in Python's standard library, with every tool its run offers; for providers of the OpenAI format."""
import json, os, threading, time, urllib.error, urllib.request
from pathlib import Path

IPC = Path(os.environ.get("K8SCLAW_IPC_DIR", "/ipc"))


def put(path, value):
    """Writes JSON so that the file appears whole, under a name that begins with a dot until it does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value))
    temporary.rename(path)


def get(path):
    """Reads JSON, waiting until the file is there."""
    while not path.exists():
        time.sleep(0.05)
    return json.loads(path.read_text())


def finish(**result):
    """Leaves the result and ends every thread."""
    put(IPC / "output/result.json", result)
    os._exit(0)


def fail(code, message):
    finish(status="error", error={"code": code, "message": message})


def watch_cancel():
    fail("cancelled", get(IPC / "input/cancel.json").get("reason", "cancelled"))


def ask(body):
    """One model call through the bridge, which alone knows where the model is."""
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)["choices"][0]["message"]
    except urllib.error.HTTPError as error:
        fail("model", f"HTTP {error.code}: {error.read(4096).decode(errors='replace')}")


def work(task):
    messages = [{"role": "system", "content": task["systemPrompt"]}] if task.get("systemPrompt") else []
    messages += task["history"] + [{"role": "user", "content": task["task"]}]
    body = {"model": task["model"]["name"], "messages": messages}
    if task["tools"]:
        offers = [{"name": t["name"], "description": t["description"], "parameters": t["inputSchema"]} for t in task["tools"]]
        body["tools"] = [{"type": "function", "function": offer} for offer in offers]
    for step in range(task["limits"]["maxSteps"]):
        message = ask(body)
        messages.append({key: message[key] for key in ("role", "content", "tool_calls") if message.get(key)})
        if not message.get("tool_calls"):
            finish(status="success", response=message.get("content") or "")
        for index, call in enumerate(message["tool_calls"]):
            function, name = call["function"], f"{step}-{index}"
            arguments = json.loads(function["arguments"] or "{}")
            put(IPC / f"tools/{name}.json", {"id": name, "tool": function["name"], "input": arguments})
        for index, call in enumerate(message["tool_calls"]):
            answer = get(IPC / f"input/results/{step}-{index}.json")
            content = json.dumps(answer["output"] if answer["ok"] else answer["error"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    fail("max_steps", "the task was not done after its model calls")


threading.Thread(target=watch_cancel, daemon=True).start()
try:
    work(get(IPC / "input/task.json"))
except Exception as error:
    fail("failed", f"{type(error).__name__}: {error}")
