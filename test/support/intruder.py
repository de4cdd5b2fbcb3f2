"""What a program in a container can reach that it should not. Argument: JSON, in base64 so that no command line holds
its words, with lists `connect` (host:port), `read` (paths), `names` (of files anywhere), `words` (of other processes)
and, for an agent, `result`: the file to leave."""
import base64, json, os, socket, stat, sys

asked = json.loads(base64.b64decode(sys.argv[1]))


def connects(target):
    host, port = target.rsplit(':', 1)
    try:
        socket.create_connection((host.strip('[]'), int(port)), 3).close()
        return True
    except OSError:
        return False


def content(path):
    try:
        if os.path.isdir(path):
            return ' '.join(os.listdir(path)).encode()
        with open(path, 'rb') as file:
            return file.read(65536)
    except OSError:
        return None


pids = [p for p in os.listdir('/proc') if p.isdigit()]
named, sockets = [], []
for folder, folders, files in os.walk('/'):
    folders[:] = [f for f in folders if os.path.join(folder, f) not in ('/proc', '/sys', '/usr', '/dev', '/work')]
    for name in files + folders:
        path = os.path.join(folder, name)
        try:
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                sockets.append(path)
        except OSError:
            continue
        if name in asked['names']:
            named.append(path)


def becomes(uid):
    try:
        os.setuid(uid)
        return True
    except OSError:
        return False


report = {
    'uid': os.getuid(),
    'gids': sorted({os.getgid(), *os.getgroups()}),
    'connected': [t for t in asked['connect'] if connects(t)],
    'read': [p for p in asked['read'] if content(p) is not None],
    'readThroughProc': [p for pid in pids for p in asked['read'] if content(f'/proc/{pid}/root{p}') is not None],
    'words': [w for w in asked['words'] if any(
        w.encode() in (content(f'/proc/{pid}/environ') or b'') + (content(f'/proc/{pid}/cmdline') or b'')
        for pid in pids if pid != str(os.getpid()))],
    'named': named,
    'sockets': sockets,
    'interfaces': sorted(name for _, name in socket.if_nameindex()),
    'environment': sorted(os.environ),
    'folders': sorted(os.listdir('/')),
    'writable': [p for p in ('/', '/etc', '/usr', '/ipc/input', '/run', '/proc/sys') if os.access(p, os.W_OK)],
}
report['becomes'] = [uid for uid in (0, 10002) if uid != os.getuid() and becomes(uid)]
text = json.dumps(report)
print(text)
if asked.get('result'):
    os.makedirs(os.path.dirname(asked['result']), exist_ok=True)
    with open(asked['result'] + '.tmp', 'w') as file:
        json.dump({'status': 'success', 'response': text}, file)
    os.rename(asked['result'] + '.tmp', asked['result'])
