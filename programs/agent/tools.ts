import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { jsonSchema, type ToolResultPart, type ToolSet, tool } from 'ai'
import type { AnswerFile, TaskFile } from '#core/ipc'
import { cut } from './context.ts'
import type { Mailbox } from './mailbox.ts'
import type { WantedCall } from './step.ts'

const readSkill = 'read_skill'

/** What the model is offered: the tools of the task, and reading its skills, which are files beside the agent. */
export function toolsOf(task: TaskFile): ToolSet {
  const offered = task.tools.map(({ name, description, inputSchema }) => [
    name,
    tool({ description, inputSchema: jsonSchema(inputSchema) }),
  ])
  if (task.skills.length === 0) return Object.fromEntries(offered)
  const names = task.skills.map((skill) => skill.name)
  const skill = tool({
    description: 'Read one of the skills.',
    inputSchema: jsonSchema({
      type: 'object',
      properties: { name: { type: 'string', enum: names } },
      required: ['name'],
      additionalProperties: false,
    }),
  })
  return Object.fromEntries([...offered, [readSkill, skill]])
}

export interface PerformOptions {
  task: TaskFile
  skillsDir: string
  mailbox: Mailbox
  signal: AbortSignal
}

/** The run is over: nothing more is performed, and nothing that is written now counts. */
export class RunEnded extends Error {}

/** Performs one call and says its answer as the model reads it. Throws RunEnded, or the signal's reason. */
export async function perform(
  { toolCallId, toolName, input, invalid }: WantedCall,
  id: string,
  { task, skillsDir, mailbox, signal }: PerformOptions,
): Promise<ToolResultPart> {
  const said = (output: ToolResultPart['output']): ToolResultPart => ({
    type: 'tool-result',
    toolCallId,
    toolName,
    output,
  })
  const failed = (message: string) => said({ type: 'error-text', value: cut(message) })

  if (invalid !== undefined) return failed(`invalid_input: ${invalid}`)
  if (toolName === readSkill && task.skills.length > 0) {
    const skill = await skillText(task, (input as { name?: unknown } | null)?.name, skillsDir)
    return skill === undefined
      ? failed('invalid_input: there is no skill of that name')
      : said({ type: 'text', value: skill })
  }
  const answer = await mailbox.call({ id, tool: toolName, input }, signal)
  if (!answer.ok && answer.error.code === 'run_ended') throw new RunEnded(answer.error.message)
  return answer.ok
    ? said({ type: 'text', value: outputText(answer) })
    : failed(`${answer.error.code}: ${answer.error.message}`)
}

function outputText({ output, truncated }: Extract<AnswerFile, { ok: true }>): string {
  const text = typeof output === 'string' ? output : JSON.stringify(output ?? null)
  return truncated ? `${cut(text)}\n[the output was longer and has been cut]` : cut(text)
}

/** The offered path, or where only the skills folder is known to be elsewhere, the file of that name in it. */
async function skillText(task: TaskFile, name: unknown, skillsDir: string): Promise<string | undefined> {
  const skill = task.skills.find((one) => one.name === name)
  if (!skill) return undefined
  const content = await readFile(skill.path, 'utf8').catch(() =>
    readFile(join(skillsDir, basename(skill.path)), 'utf8'),
  )
  return cut(content, 262_144)
}
