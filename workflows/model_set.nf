// A model set is a folder with modelset.json and the files that it names (docs/model_sets.md).
def componentNames() {
    ['dnabert_s', 'tokenizer', 'esm2', 'classifier']
}

// Returns the set: name, digest, chunk lengths, frame rule, and for each component the file to
// stage, or with weights_dir the path where the task finds it, and its sha256.
// A set whose parts do not fit together stops the run here, before any task.
def readModelSet(folder, weights_dir) {
    def dir = file(folder.toString(), glob: false)
    def set = readDescription(folder, dir.resolve('modelset.json'))
    def where = "--model_set ${folder}"
    def faults = descriptionFaults(set) ?: weights_dir ? sameNames(set) : lostFiles(set, dir)
    if (faults) {
        error("${where}:\n  ${faults.join('\n  ')}")
    }
    def dna = set.components.dnabert_s.width
    def protein = set.components.esm2.width
    def counts = set.components.classifier.frame_counts ?: 0
    def input = set.components.classifier.input_width
    if (dna + protein + counts != input) {
        error("${where}: the encoders give ${dna} + ${protein} numbers a frame${counts ? " and counts ${counts}" : ''}, the classifier takes ${input}. They are of different model sets.")
    }
    def components = componentNames().collectEntries { name ->
        def path = dir.resolve(set.components[name].file)
        // `at` is empty for a staged file, and quoted for the task's shell otherwise
        def place = weights_dir ? [file: [], at: shellQuoted("${weights_dir}/${path.name}")] : [file: path.toRealPath(), at: '']
        [name, place + [sha256: set.components[name].sha256.toLowerCase()]]
    }
    return [folder: dir.toUriString(), name: set.name, digest: setDigest(set), chunk_bp: set.chunk_bp, frame_rule: set.frame_rule, components: components, description: set]
}

// Returns the content of modelset.json, or stops with what keeps it from being read.
def readDescription(folder, description) {
    if (!description.exists()) {
        error("--model_set ${folder}: there is no modelset.json in it. Give the folder of a model set.")
    }
    try {
        return new groovy.json.JsonSlurper().parseText(description.text)
    }
    catch (groovy.json.JsonException fault) {
        error("${description}: is no JSON (${fault.message.readLines()[0]}). It was cut short or edited: copy it again.")
    }
}

// Returns what is wrong with the description, each with the name of its key; [] when nothing is.
def descriptionFaults(set) {
    if (!(set instanceof Map) || set.format != 1) {
        return ["modelset.json: format is ${set instanceof Map ? set.format : 'missing'}, this version reads format 1. Build or fetch the set again, or use the version that made it."]
    }
    def widths = [dnabert_s: 'width', esm2: 'width', classifier: 'input_width']
    def parts = set.components instanceof Map ? set.components : [:]
    def faults = [
        name: set.name instanceof String && set.name,
        chunk_bp: set.chunk_bp instanceof List && set.chunk_bp && set.chunk_bp.every { bp -> bp instanceof Integer && bp > 0 },
        frame_rule: set.frame_rule instanceof String || (set.frame_rule instanceof Map && set.frame_rule.rule instanceof String),
    ].findAll { _key, fits -> !fits }.keySet() as List
    componentNames().each { name ->
        def part = parts[name] instanceof Map ? parts[name] : [:]
        if (!(part.file instanceof String && part.file)) {
            faults << "components.${name}.file".toString()
        }
        if (!(part.sha256.toString() ==~ /(?i)[0-9a-f]{64}/)) {
            faults << "components.${name}.sha256".toString()
        }
        if (widths[name] && !(part[widths[name]] instanceof Integer)) {
            faults << "components.${name}.${widths[name]}".toString()
        }
    }
    return faults ? ["modelset.json: missing or not as docs/model_sets.md says: ${faults.join(', ')}. Build or fetch the set again."] : []
}

// Returns a line for each component whose file is not there.
def lostFiles(set, dir) {
    def lost = componentNames().findAll { name -> !dir.resolve(set.components[name].file).exists() }
    return lost.collect { name ->
        def text = set.components[name].file
        def remedy = text.startsWith('../')
            ? "The set refers to a store of components beside it: copy ${dir.resolve(text).parent.normalize()} too"
            : 'Copy the whole folder again'
        "${name}: ${text} is missing. ${remedy}, or give --weights_dir."
    }
}

// Returns a line when two components would be one file in weights_dir.
def sameNames(set) {
    def names = componentNames().groupBy { name -> set.components[name].file.tokenize('/').last() }
    return names.findAll { _file, users -> users.size() > 1 }
        .collect { text, users -> "${users.join(' and ')} are both called ${text}: --weights_dir cannot hold both." }
}

// Returns the sha256 of what results depend on, one line each: names, places and notes do not count.
// virnucpro.model_sets.digest computes the same.
def setDigest(set) {
    def rule = set.frame_rule instanceof Map ? "${set.frame_rule.rule} ${set.frame_rule.min_residues}" : set.frame_rule
    def lines = ["format ${set.format}", "chunk_bp ${set.chunk_bp.join(',')}", "frame_rule ${rule}"]
    lines += componentNames().collect { name -> "${name} ${set.components[name].sha256.toLowerCase()}" }
    def calibrations = set.calibration instanceof List ? set.calibration : []
    lines += calibrations.collect { c -> "calibration ${c.chunk_bp} ${c.frame_rule} ${c.sha256}".toString() }.sort()
    def text = lines.collect { line -> "${line}\n" }.join('')
    return java.security.MessageDigest.getInstance('SHA-256').digest(text.getBytes('UTF-8')).encodeHex().toString()
}

// Returns a component as a task takes it: file to stage or [], path where it lies or '', sha256.
def taskFile(component) {
    return [component.file, component.at, component.sha256]
}

// Returns what each output says about its models: names and sums, no place.
def modelIdentity(set, frame_rule, calibrated, version) {
    def sums = set.components.collectEntries { name, component -> [name, component.sha256] }
    def identity = [model_set: set.name, model_set_digest: set.digest, components: sums, frame_rule: frame_rule[0]]
    if (frame_rule[0] != 'open') {
        identity.min_residues = frame_rule[1]
    }
    if (calibrated[0]) {
        identity.calibration = calibrated[1]
        identity.viral_prior = calibrated[2] == '' ? null : calibrated[2] // null: the calibration's own
    }
    return identity + [pipeline_version: version]
}

// Returns a word of the task's shell.
def shellQuoted(text) {
    return "'" + text.toString().replace("'", "'\\''") + "'"
}

// Returns the chunk length to use: --chunk_length, or else the set's first.
def chunkLength(set, chunk_length, allow_mismatch) {
    if (chunk_length && !(chunk_length in set.chunk_bp) && !allow_mismatch) {
        error("--chunk_length ${chunk_length}: the model set ${set.name} was trained on ${set.chunk_bp.join(', ')} bp. Use one of these, another --model_set, or --allow_chunk_length_mismatch.")
    }
    return chunk_length ?: set.chunk_bp[0]
}

// Stops a run in 8 bits, unless these very weights were measured: random ones hide what real ones show.
def checkCertified(set, precision) {
    if (precision != 'fp8') {
        return
    }
    def all = set.description.certified
    def notes = all instanceof Map && all.fp8 instanceof Map ? all.fp8 : [:]
    def note = notes.esm2 instanceof Map ? notes.esm2 : null
    def reason = ''
    if (note == null) {
        reason = 'was never measured with it'
    }
    else if (note.model_set_digest != set.digest) {
        reason = 'was measured with other files than the set has now'
    }
    else if (note.passed != true) {
        reason = "failed: ${note.faults instanceof List ? note.faults.join(', ') : note.faults}"
    }
    if (reason) {
        error("--precision fp8: ESM-2 of the model set ${set.name} ${reason}. Measure it on your GPU: virnucpro models check ${set.folder} --certify --device cuda; or use another --precision.")
    }
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
