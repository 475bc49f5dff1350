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
    return [folder: dir.toUriString(), name: set.name, chunk_bp: set.chunk_bp, frame_rule: set.frame_rule, components: components, description: set]
}

// Returns the chunk length to use: --chunk_length, or else the set's first.
def chunkLength(set, chunk_length, allow_mismatch) {
    if (chunk_length && !(chunk_length in set.chunk_bp) && !allow_mismatch) {
        error("--chunk_length ${chunk_length}: the model set ${set.name} was trained on ${set.chunk_bp.join(', ')} bp. Use one of these, another --model_set, or --allow_chunk_length_mismatch.")
    }
    return chunk_length ?: set.chunk_bp[0]
}

// Of a stretch, where the set does not say; MIN_RESIDUES in sequences/translation.py.
def defaultMinResidues() {
    20
}

// Returns [rule, residues that a partial frame needs]: --frame_rule, or else the set's own, which is
// a name or [rule: name, min_residues: number]. Without partial frames the number is 0.
def frameRule(set, frame_rule) {
    def own = set.frame_rule instanceof Map ? set.frame_rule : [rule: set.frame_rule]
    def rule = frame_rule ?: own.rule
    if (rule == 'open') {
        return ['open', 0]
    }
    if (rule != 'longest_open') {
        error("Model set ${set.name} wants the frame rule '${rule}', which this version does not have. Set --frame_rule open to use the original's.")
    }
    def least = own.min_residues == null ? defaultMinResidues() : own.min_residues
    if (!(least instanceof Integer) || least < 1) {
        error("Model set ${set.name}: min_residues of its frame rule is '${least}', not a whole number from 1 on. Mend modelset.json, or copy it again.")
    }
    return [rule, least]
}

// Returns [file, sha256, prior] of the calibration for a chunk length and frame rule; all empty for
// a set that has none. A calibration holds only for what it was made with.
def calibration(set, chunk_bp, rule, viral_prior) {
    def known = set.description.calibration ?: []
    if (!(known instanceof List) || !known.every { c -> c instanceof Map && c.file instanceof String && c.sha256.toString() ==~ /[0-9a-f]{64}/ }) {
        error("Model set ${set.name}: calibration in modelset.json is no list of entries with chunk_bp, frame_rule, file and sha256. Copy it again, or calibrate the set anew.")
    }
    def own = known.find { c -> c.chunk_bp == chunk_bp && c.frame_rule == rule }
    if (!own) {
        if (viral_prior != null) {
            def others = known.collect { c -> "${c.chunk_bp} bp, ${c.frame_rule}" }.join('; ') ?: 'nothing'
            error("--viral_prior ${viral_prior}: the model set ${set.name} is not calibrated for chunks of ${chunk_bp} bp and the frame rule ${rule} (but for: ${others}), so that its scores are no probabilities. Leave it out.")
        }
        return [[], '', '']
    }
    def path = file("${set.folder}/${own.file}", glob: false)
    if (!path.exists()) {
        error("Model set ${set.name}: its calibration ${own.file} is missing. Copy the whole folder again.")
    }
    return [path.toRealPath(), own.sha256, viral_prior == null ? '' : viral_prior]
}
