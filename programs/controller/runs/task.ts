import type { TaskMessage } from '#core/journal'
import type { AgentRun, ClawInstance, Effective } from '#core/kinds'
import { chatOf } from '../channels/chat-of.ts'
import { addressOfRun } from '../resources/job.ts'

/** The first message of a run: everything its bridge needs to know. The bridge adds the tools, which it performs. */
export function taskMessage(run: AgentRun, effective: Effective, instance: ClawInstance | undefined): TaskMessage {
  const chat = chatOf(run, instance)
  const systemPrompt = run.spec.systemPrompt ?? instance?.spec.agents[effective.agent]?.systemPrompt
  return {
    type: 'task',
    effective,
    ...(chat && { chat }),
    task: {
      version: 1,
      run: run.metadata.name,
      ...addressOfRun(run),
      agent: effective.agent,
      ...(run.spec.sessionKey === undefined ? {} : { sessionKey: run.spec.sessionKey }),
      attempt: 1,
      task: run.spec.task,
      ...(systemPrompt === undefined ? {} : { systemPrompt }),
      model: effective.model,
      history: [],
      tools: [],
      skills: (effective.skills ?? []).map(({ name, description, key }) => ({
        name,
        description,
        path: `/skills/${key}`,
      })),
      files: [],
      limits: effective.limits,
    },
  }
}
