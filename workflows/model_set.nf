// A model set is a folder with modelset.json and the files that it names (docs/model_sets.md).

// Returns the set: its chunk lengths, frame rule, and the path and sha256 of each component.
// A set whose parts do not fit together stops the run here, before any task.
def readModelSet(folder) {
    def dir = file(folder.toString(), glob: false)
    def description = dir.resolve('modelset.json')
    if (!description.exists()) {
        error("--model_set ${folder}: there is no modelset.json in it. Give the folder of a model set.")
    }
    def set = new groovy.json.JsonSlurper().parseText(description.text)
    def needed = ['dnabert_s', 'tokenizer', 'esm2', 'classifier']
    def lost = needed.findAll { name -> !set.components[name] || !dir.resolve(set.components[name].file).exists() }
    if (lost) {
        error("--model_set ${folder}: ${lost.join(', ')} missing. Copy the whole folder again.")
    }
    def dna = set.components.dnabert_s.width
    def protein = set.components.esm2.width
    def input = set.components.classifier.input_width
    if (dna + protein != input) {
        error("--model_set ${folder}: the encoders give ${dna} + ${protein} numbers a frame, the classifier takes ${input}. They are of different model sets.")
    }
    def components = needed.collectEntries { name ->
        [name, [file: dir.resolve(set.components[name].file).toRealPath(), sha256: set.components[name].sha256]]
    }
    return [name: set.name, chunk_bp: set.chunk_bp, frame_rule: set.frame_rule, components: components]
}

// Returns the chunk length to use: --chunk_length, or else the set's first.
def chunkLength(set, chunk_length, allow_mismatch) {
    if (chunk_length && !(chunk_length in set.chunk_bp) && !allow_mismatch) {
        error("--chunk_length ${chunk_length}: the model set ${set.name} was trained on ${set.chunk_bp.join(', ')} bp. Use one of these, another --model_set, or --allow_chunk_length_mismatch.")
    }
    return chunk_length ?: set.chunk_bp[0]
}

// Returns the frame rule; this version knows the original's only.
def frameRule(set, frame_rule) {
    def rule = frame_rule ?: set.frame_rule
    if (rule != 'open') {
        error("Model set ${set.name} wants the frame rule '${rule}', which this version does not have. Set --frame_rule open to use the original's.")
    }
    return rule
}
