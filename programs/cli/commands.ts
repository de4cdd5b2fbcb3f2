/** What `k8sclaw` can do. Commands are loaded when they are used, so that help and completion start at once. */
import { Command, InvalidArgumentError, Option } from 'commander'
import type { OutputFormat } from './output.ts'
import { versionText } from './version.ts'

const program = new Command('k8sclaw')
  .description('AI agents on Kubernetes: every task in its own throw-away pod that holds no authority.')
  .showHelpAfterError('(k8sclaw --help lists the commands)')
  .configureOutput({ outputError: (text, write) => write(text) })

/** How rows are printed that have no names. */
const unnamed = ['table', 'wide', 'json', 'yaml'] as const satisfies OutputFormat[]

const write = (text: string) => void process.stdout.write(text)
/** Nothing found with `-o name` is nothing printed, not an empty line. */
const line = (text: string) => void process.stdout.write(text === '' ? '' : `${text}\n`)

program
  .command('up')
  .description('start the platform on this machine and print how to reach it')
  .option('--detach', 'return once it is ready; stop it with `k8sclaw down`', false)
  .option(
    '--data-dir <folder>',
    'where everything is kept (default: /var/lib/k8sclaw as root, else ~/.local/share/k8sclaw)',
    folder,
  )
  .option('--port <port>', 'port on 127.0.0.1 of the API (default: the last one, or a free one)', port)
  .option('--unconfined', 'run other models than demo even where nothing isolates agents', false)
  .action(async (options) => exit(await (await import('./up.ts')).up(options)))

program
  .command('down')
  .description('stop the platform of a data folder')
  .option('--data-dir <folder>', 'the folder it was started with', folder)
  .action(async (options: { dataDir?: string }) => exit(await (await import('./up.ts')).down(options.dataDir)))

cluster(program.command('run').description('create an AgentRun').argument('<task>', 'what to do'))
  .option('--instance <name>', 'the ClawInstance whose agent does it', 'sample')
  .option('--agent <name>', 'which agent of the instance')
  .option('--session <key>', 'runs with the same key run one at a time, in order')
  .option('--timeout <duration>', 'such as 90s or 10m')
  .option('-f, --follow', 'show text and tool calls as they happen, until the outcome', false)
  .action(async (task, options) => exit(await (await import('./runs.ts')).run(task, options, write)))

cluster(program.command('chat').description('talk with an agent; each line is a run of one conversation'))
  .option('--instance <name>', 'the ClawInstance to talk with', 'sample')
  .option('--agent <name>', 'which agent of the instance')
  .option('--session <key>', 'the conversation to go on with (default: a new one)')
  .action(async (options) => exit(await (await import('./chat.ts')).chat(options, process.stdin, process.stdout)))

const runs = program.command('runs').description('look at AgentRuns')
output(cluster(runs.command('list').alias('ls').description('list them'), true))
  .option('--instance <name>', 'only those of one instance')
  .action(async (options) => line(await (await import('./runs.ts')).listRuns({ ...options, format: options.output })))
output(cluster(runs.command('get').description('show one').argument('<name>'))).action(async (name, options) =>
  line(await (await import('./runs.ts')).getRun(name, { ...options, format: options.output })),
)
cluster(runs.command('watch').description('follow one run, or every change of all').argument('[name]'), true).action(
  async (name, options) => exit(await (await import('./runs.ts')).watchRuns(name, options, write)),
)
cluster(runs.command('logs').description("print the log of a container of a run's pod").argument('<name>'))
  .option('-c, --container <name>', 'agent, bridge or sandbox', 'agent')
  .option('-f, --follow', 'go on as it grows', false)
  .action(async (name, options) => (await import('./runs.ts')).runLogs(name, options, process.stdout))
cluster(runs.command('cancel').description('end a run').argument('<name>')).action(async (name, options) =>
  line(await (await import('./runs.ts')).cancelRun(name, options)),
)

const instances = program.command('instances').description('look at ClawInstances')
output(cluster(instances.command('list').alias('ls').description('list them'), true)).action(async (options) =>
  line(await (await import('./instances.ts')).listInstances({ ...options, format: options.output })),
)
output(cluster(instances.command('get').description('show one').argument('<name>'))).action(async (name, options) =>
  line(await (await import('./instances.ts')).getInstance(name, { ...options, format: options.output })),
)

const channels = program.command('channels').description('look at chat channels, and let people in')
output(cluster(channels.command('list').alias('ls').description('list them, and how their services are'), true))
  .option('--instance <name>', 'only those of one instance')
  .action(async (options) =>
    line(await (await import('./channels.ts')).listChannels({ ...options, format: options.output })),
  )
cluster(channels.command('pair').description('let in the stranger who was given a code').argument('<code>'))
  .option('--instance <name>', 'only if the code is of this instance')
  .option('--channel <name>', 'only if the code is of this channel')
  .action(async (code, options) => line(await (await import('./channels.ts')).pairChannel(code, options)))

const policies = program.command('policies').description('look at ClawPolicies')
output(cluster(policies.command('list').alias('ls').description('list them'), true)).action(async (options) =>
  line(await (await import('./policies.ts')).listPolicies({ ...options, format: options.output })),
)
output(cluster(policies.command('get').description('show one').argument('<name>'))).action(async (name, options) =>
  line(await (await import('./policies.ts')).getPolicy(name, { ...options, format: options.output })),
)

const skills = program.command('skills').description('look at SkillPacks')
output(cluster(skills.command('list').alias('ls').description('list them'), true)).action(async (options) =>
  line(await (await import('./skills.ts')).listSkills({ ...options, format: options.output })),
)
output(cluster(skills.command('get').description('show one').argument('<name>'))).action(async (name, options) =>
  line(await (await import('./skills.ts')).getSkills(name, { ...options, format: options.output })),
)

const features = program.command('features').description('what a ClawPolicy lets runs use')
output(policy(features.command('list').alias('ls').description('list the feature gates of a policy'))).action(
  async (options) => line(await (await import('./features.ts')).listFeatures({ ...options, format: options.output })),
)
for (const [verb, enabled] of [
  ['enable', true],
  ['disable', false],
] as const) {
  policy(features.command(verb).description(`${verb} a feature gate in a policy`).argument('<gate>')).action(
    async (gate, options) => line(await (await import('./features.ts')).setFeature(gate, enabled, options)),
  )
}

const sessions = program.command('sessions').description('look at conversations, and forget them')
output(cluster(sessions.command('list').alias('ls').description('list them, the last used first')))
  .option('--instance <name>', 'only those of one instance')
  .action(async (options) =>
    line(await (await import('./sessions.ts')).listSessions({ ...options, format: options.output })),
  )
for (const [verb, what, act] of [
  ['show', 'print what was said', 'showSession'],
  ['export', 'print what was said as JSON, a message a line', 'exportSession'],
  ['reset', 'let its next run begin without what was said before', 'resetSession'],
  ['delete', 'remove it with its runs, transcript and record', 'deleteSession'],
] as const) {
  cluster(sessions.command(verb).description(what).argument('<session>', 'its id, or its key'))
    .option('--instance <name>', 'the instance, where several have a session of that key')
    .action(async (name, options) => line(await (await import('./sessions.ts'))[act](name, options)))
}
cluster(
  sessions
    .command('fork')
    .description('begin another conversation with what was said in one')
    .argument('<session>', 'its id, or its key')
    .argument('<key>', 'the key of the new one'),
)
  .option('--instance <name>', 'the instance, where several have a session of that key')
  .option('--through <run>', 'uid of the last run whose turn is copied')
  .action(async (name, key, options) => line(await (await import('./sessions.ts')).forkSession(name, key, options)))
cluster(sessions.command('rebuild').description('make all rows again from the archived record')).action(
  async (options) => line(await (await import('./sessions.ts')).rebuildSessions(options)),
)
output(cluster(sessions.command('set-aside').description('list what is not in the archived record, and why'))).action(
  async (options) => line(await (await import('./sessions.ts')).listSetAside({ ...options, format: options.output })),
)

const memories = program.command('memories').description('look at what agents remember, and delete it')
output(place(cluster(memories.command('list').alias('ls').description('list them, the newest first')))).action(
  async (options) => line(await (await import('./memories.ts')).listMemories({ ...options, format: options.output })),
)
output(
  place(cluster(memories.command('search').description('find those that fit a text best').argument('<text>'))).option(
    '--limit <n>',
    'how many at most, up to 20',
    atMost(20),
    5,
  ),
).action(async (text, options) =>
  line(await (await import('./memories.ts')).searchMemories(text, { ...options, format: options.output })),
)
cluster(memories.command('show').description('print one, and where it came from').argument('<id>')).action(
  async (id, options) => line(await (await import('./memories.ts')).showMemory(id, options)),
)
place(
  cluster(memories.command('delete').description('delete some by id, or all of a scope').argument('[ids...]')),
).action(async (ids, options) => line(await (await import('./memories.ts')).deleteMemories(ids, options)))

output(cluster(program.command('usage').description('what was used of each model, by day')), unnamed)
  .option('--instance <name>', 'only that of one instance')
  .option('--days <n>', 'how many days, today included', days, 7)
  .action(async (options) => line(await (await import('./usage.ts')).showUsage({ ...options, format: options.output })))

connection(program.command('install').description('install the platform in the cluster of the kubeconfig'))
  .option('-f, --filename <file>', 'manifests other than those of this installation; - is standard input')
  .option('--image-prefix <prefix>', 'images are PREFIX/PROGRAM:TAG (default: k8sclaw)')
  .option('--tag <tag>', 'their tag (default: dev)')
  .option('--nats-image <image>', 'the image of nats-server')
  .option('--crds', 'only the definitions of the kinds', false)
  .option('--dry-run', 'print what would be applied, and apply nothing', false)
  .option('--no-wait', 'do not wait until it admits runs')
  .option('--timeout <duration>', 'how long to wait', duration, '5m')
  .action(async (options) => (await import('./cluster/install.ts')).install(options, write))

connection(program.command('uninstall').description('delete the platform, and all that our kinds hold, from a cluster'))
  .option('-f, --filename <file>', 'the manifests it was installed from, where it was installed with -f')
  .option('--yes', 'really do it', false)
  .option('--timeout <duration>', 'how long it may take', duration, '5m')
  .action(async (options) => (await import('./cluster/uninstall.ts')).uninstall(options, write))

cluster(program.command('doctor').description('check what the platform needs and say what is wrong')).action(
  async (options) => exit(await (await import('./doctor.ts')).doctor(options, write)),
)
program
  .command('version')
  .description('print the version')
  .action(() => line(versionText()))
program
  .command('completion')
  .description('print a completion script')
  .addArgument(program.createArgument('[shell]', 'for which shell').choices(['bash', 'zsh']).default('bash'))
  .action(async () => write((await import('./completion.ts')).completionScript(program)))

try {
  await program.parseAsync()
} catch (error) {
  const { sentence } = await import('./sentence.ts')
  process.stderr.write(`error: ${sentence(error)}\n`)
  exit(1)
}

function connection(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'the kubeconfig (default: KUBECONFIG, else ~/.kube/config)')
    .option('--context <name>', 'the context of the kubeconfig')
}

function place(command: Command): Command {
  return command
    .option('--instance <name>', 'only those of one instance')
    .addOption(new Option('--scope <scope>', 'only those of this scope').choices(['session', 'user', 'instance']))
    .option('--owner <name>', 'only those of this session, by its id, or of this user')
}

function cluster(command: Command, lists = false): Command {
  connection(command.option('-n, --namespace <name>', 'the namespace (default: that of the kubeconfig)'))
  return lists ? command.option('-A, --all-namespaces', 'all namespaces', false) : command
}

function policy(command: Command): Command {
  return cluster(command).requiredOption('--policy <name>', 'the ClawPolicy')
}

function output(command: Command, formats: readonly OutputFormat[] = [...unnamed, 'name']): Command {
  return command.addOption(new Option('-o, --output <format>', 'how to print').choices(formats).default('table'))
}

/** A variable of a script that is not set would otherwise mean the folder one stands in. */
function folder(path: string): string {
  if (path === '') throw new InvalidArgumentError('it names no folder.')
  return path
}

function port(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0 || value > 65535)
    throw new InvalidArgumentError('a port is a whole number from 0 to 65535.')
  return value
}

function atMost(most: number) {
  return (text: string) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < 1 || value > most)
      throw new InvalidArgumentError(`it is a whole number from 1 to ${most}.`)
    return value
  }
}

function days(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 3660)
    throw new InvalidArgumentError('days are a whole number from 1 to 3660.')
  return value
}

function duration(text: string): string {
  if (!/^(\d+h)?(\d+m)?(\d+s)?$/.test(text) || text === '')
    throw new InvalidArgumentError('a duration is such as 90s, 10m or 1h30m.')
  return text
}

/** Ends with this code once what was written has left the process. */
function exit(code: number): void {
  process.exitCode = code
  process.stdout.write('', () => process.exit(code))
}
