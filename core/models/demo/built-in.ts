import { type DemoScript, parseDemoScript } from './script.ts'

/**
 * The script of the demo model where the Secret gives none: with the tools of the platform it looks at the machine,
 * writes down what it saw, reads it back and answers with both; with fewer tools it does less; with none it answers.
 */
export const builtInScript = `
steps:
  - when: { turns: 0, user: 'Summarise this conversation.*' }
    reply:
      text: |
        What was said earlier is not told here.
        (I am the offline demo model of K8sClaw: I cannot summarise, my words are scripted.)

  - when: { turns: 0, tools: [exec, write_file, read_file] }
    reply:
      text: "Let me think. I cannot know this machine without looking, so I ask it first: its system and the year."
      delayMs: 15
      toolCalls:
        - name: exec
          arguments: { script: 'uname -s; date -u +%Y' }
  - when: { turns: 1, tools: [exec, write_file, read_file] }
    reply:
      text: "The command has answered. I write that down, so that it stays in the workspace."
      delayMs: 15
      toolCalls:
        - name: write_file
          arguments:
            path: report.txt
            content: |
              # Report
              Task: {{user}}
              The machine said:
              {{results.0.stdout}}
  - when: { turns: 2, tools: [exec, write_file, read_file] }
    reply:
      text: "I read the file back to be sure that it holds what I meant."
      delayMs: 15
      toolCalls:
        - name: read_file
          arguments: { path: report.txt }
  - when: { turns: 3, tools: [exec, write_file, read_file] }
    reply:
      delayMs: 15
      text: |
        Done. The command printed:
        {{results.0.stdout}}
        The file report.txt, read back, says:
        {{results.2.content}}
        (I am the offline demo model of K8sClaw: my words are scripted, the tool results are real.)

  - when: { turns: 0, tools: [exec] }
    reply:
      text: "Let me think. I cannot know this machine without looking, so I ask it: its system and the year."
      delayMs: 15
      toolCalls:
        - name: exec
          arguments: { script: 'uname -s; date -u +%Y' }
  - when: { turns: 1, tools: [exec] }
    reply:
      delayMs: 15
      text: |
        Done. The command printed:
        {{results.0.stdout}}
        (I am the offline demo model of K8sClaw: my words are scripted, the tool results are real.)

  - when: { turns: 0, tools: [write_file, read_file] }
    reply:
      text: "Let me think. I can keep files, so I write the task down."
      delayMs: 15
      toolCalls:
        - name: write_file
          arguments: { path: report.txt, content: "Task: {{user}}\\n" }
  - when: { turns: 1, tools: [write_file, read_file] }
    reply:
      text: "I read the file back to be sure that it holds what I meant."
      delayMs: 15
      toolCalls:
        - name: read_file
          arguments: { path: report.txt }
  - when: { turns: 2, tools: [write_file, read_file] }
    reply:
      delayMs: 15
      text: |
        Done. The file report.txt, read back, says:
        {{results.1.content}}
        (I am the offline demo model of K8sClaw: my words are scripted, the tool results are real.)

  - reply:
      delayMs: 15
      text: |
        You wrote: {{user}}
        (I am the offline demo model of K8sClaw: I have no knowledge, only a script.)
`

/** The built-in script, read. */
export const builtInDemo: DemoScript = parseDemoScript(builtInScript)
