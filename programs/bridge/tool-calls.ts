import { createHash } from 'node:crypto'
import {
  firstIssue,
  isToolName,
  offerOf,
  type SendFileInput,
  type TaskFile,
  type ToolName,
  type ToolRequest,
  toolNames,
  tools,
} from '#core/ipc'
import type { Call, Meaning, Verdict } from '#core/journal'
import { type CallFacts, type judge, judgeNow, needsSandbox, offeredTools, type PolicyInForce } from '#core/policy'
import { type Crossing, notOk, type Performed } from './boundary.ts'

type Effective = Parameters<typeof judge>[0]

/** Who performs a tool: told its name and its input as it was recorded. */
export type PerformTool = (tool: ToolName, input: unknown, signal: AbortSignal) => Promise<Performed>

/** Who performs the tools: the sandbox, where there is one, or whoever follows the record and answers into the inbox. */
export interface Performers {
  sandbox: PerformTool | undefined
  /** Absent where there is no chat that a file could be handed to. */
  handOver: ((input: SendFileInput, signal: AbortSignal) => Promise<Performed>) | undefined
  elsewhere: (callId: string, signal: AbortSignal) => Promise<Performed>
  /** What a text means, where a model of the instance compares its memories. */
  meaningOf?: ((callId: string, text: string) => Promise<Meaning | undefined>) | undefined
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The call that a request of the agent is, named by the hash of the exact bytes that were read. */
export function toolCall(request: ToolRequest, bytes: Uint8Array): Call {
  const { id, tool, input } = request
  return { id, tool, input, inputHash: sha256(bytes) }
}

/**
 * How a tool call crosses: what is denied or does not exist is refused by name, before anything looks at its input; an
 * input that is not of the tool's form is answered without being performed.
 */
export function toolCrossing(
  call: Call,
  effective: Effective,
  inForce: PolicyInForce | undefined,
  facts: CallFacts,
  performers: Performers,
): Crossing {
  const { tool } = call
  if (!isToolName(tool) || !exists(tool, facts, performers)) {
    const reason = `there is no tool ${tool}`
    return {
      call,
      verdict: { action: 'deny', reason },
      refusal: notOk('unknown_tool', reason),
      perform: () => Promise.reject(new Error('a call that was denied')),
    }
  }
  const verdict: Verdict = judgeNow(effective, inForce, tool, facts)
  const perform = performerOf(tool, call, performers)
  const meaning = tool === 'memory_search' ? meaningOfQuery(call, performers) : undefined
  return { call, verdict, meaning, perform: (signal) => performChecked(tool, call.input, perform, signal) }
}

/** Of a query of the right form; the others are answered without anybody. */
function meaningOfQuery({ id, input }: Call, { meaningOf }: Performers): Crossing['meaning'] {
  const parsed = tools.memory_search.input.safeParse(input ?? {})
  return parsed.success && meaningOf ? () => meaningOf(id, parsed.data.query) : undefined
}

function exists(tool: ToolName, facts: CallFacts, { handOver }: Pick<Performers, 'handOver'>): boolean {
  return (!needsSandbox(tool) || facts.sandbox) && (tool !== 'send_file' || handOver !== undefined)
}

function performerOf(tool: ToolName, call: Call, { sandbox, handOver, elsewhere }: Performers): PerformTool {
  if (tool === 'send_file' && handOver)
    return (_tool, input, signal) => handOver(tools.send_file.input.parse(input), signal)
  if (!needsSandbox(tool)) return (_tool, _input, signal) => elsewhere(call.id, signal)
  return sandbox ?? (() => Promise.reject(new Error('there is no sandbox')))
}

async function performChecked(
  tool: ToolName,
  input: unknown,
  perform: PerformTool,
  signal: AbortSignal,
): Promise<Performed> {
  const parsed = tools[tool].input.safeParse(input ?? {})
  if (!parsed.success) return { answer: notOk('invalid_input', firstIssue(parsed.error)) }
  return await perform(tool, parsed.data, signal)
}

/** The task as the agent gets it: with the tools that this run may call, and the skills where they are mounted. */
export function taskForAgent(
  task: TaskFile,
  effective: Effective,
  facts: CallFacts & { chat: boolean },
  skillsDir: string,
): TaskFile {
  const offered = offeredTools(effective, toolNames, facts)
    .filter(isToolName)
    .filter((tool) => tool !== 'send_file' || facts.chat)
    .map(offerOf)
  const skills = task.skills.map((skill) => ({ ...skill, path: `${skillsDir}/${skill.path.split('/').at(-1)}` }))
  return { ...task, tools: offered, skills }
}
