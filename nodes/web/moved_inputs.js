// An input that another node has taken over (`moved` in schema.py) is shown only where a workflow sets it to something:
// what acts is seen, and nothing else takes up room. Some versions of the page leave hiding it to us.

import { app } from '../../scripts/app.js'

function movedInputs(nodeData) {
  const entries = Object.entries(nodeData.input?.optional ?? {})
  return new Map(entries.filter(([, spec]) => spec[1]?.hidden).map(([name, spec]) => [name, spec[1].default]))
}

function settle(node, defaults) {
  for (const widget of node.widgets ?? []) {
    if (!defaults.has(widget.name)) continue
    const linked = node.inputs?.some((input) => input.widget?.name === widget.name && input.link != null)
    const hidden = widget.value === defaults.get(widget.name) && !linked
    widget.hidden = hidden
    widget.options.hidden = hidden
  }
}

app.registerExtension({
  name: 'MotionInversion.MovedInputs',
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith('MotionInversion')) return
    const defaults = movedInputs(nodeData)
    if (!defaults.size) return
    const { onNodeCreated, onConfigure } = nodeType.prototype
    nodeType.prototype.onNodeCreated = function (...given) {
      const result = onNodeCreated?.apply(this, given)
      settle(this, defaults)
      this.setSize(this.computeSize())
      return result
    }
    nodeType.prototype.onConfigure = function (...given) {
      const result = onConfigure?.apply(this, given)
      settle(this, defaults)
      return result
    }
  }
})
