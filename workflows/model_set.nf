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
    def counts = set.components.classifier.composition_features ?: 0
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
        return new groovy.json.JsonSlurper().parseText(description.text ?: ' ') // of an empty text it throws something else
    }
    catch (groovy.json.JsonException fault) {
        error("${description}: is no JSON (${fault.message.readLines()[0]}). It was cut short or edited: copy it again.")
    }
}

// Numbers that a classifier may take of each frame beside its embeddings (scoring/composition_features.py).
def frameCountsWidth() {
    785
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
    ].findAll { _key, fits -> !fits }.keySet() as List
    faults += ruleFaults(set.frame_rule)
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
        if (name == 'classifier' && !(part.composition_features in [null, 0, frameCountsWidth()])) {
            faults << "components.${name}.composition_features".toString()
        }
    }
    faults += calibrationFaults(set.calibration)
    return faults ? ["modelset.json: missing or not as docs/model_sets.md says: ${faults.join(', ')}. Build or fetch the set again, or mend modelset.json."] : []
}

// Of a stretch, where the set does not say; MIN_RESIDUES in sequences/translation.py.
def defaultMinResidues() {
    20
}

// Returns [rule, min_residues] of a frame rule without a fault: a name, or an object.
def frameRuleOf(stated) {
    def own = stated instanceof Map ? stated : [rule: stated]
    return [rule: own.rule, min_residues: own.min_residues == null ? defaultMinResidues() : own.min_residues as int]
}

// Returns the rule as the digest has it: equal rules give equal texts.
def ruleText(stated) {
    def own = frameRuleOf(stated)
    def plain = own.rule == 'open' && own.min_residues == defaultMinResidues()
    return plain ? own.rule : "${own.rule} ${own.min_residues}"
}

// Returns what is wrong with a frame rule: the key, and the cause in brackets.
// virnucpro.model_sets.rules has the same rules; tests/pipeline/test_model_rules.py compares them.
def ruleFaults(stated) {
    if (!(stated instanceof Map)) {
        return fault('frame_rule', stated, isRuleName(stated), noRule())
    }
    def least = stated.min_residues
    return fault('frame_rule.rule', stated.rule, isRuleName(stated.rule), noRule()) + fault('frame_rule.min_residues', least, least == null || isWhole(least), noCount())
}

// Returns what is wrong with the calibrations: entry and key, and the cause in brackets.
def calibrationFaults(stated) {
    if (stated == null) {
        return []
    }
    if (!(stated instanceof List)) {
        return ['calibration (no list)']
    }
    def known = []
    return stated.withIndex().collectMany { entry, place ->
        def faults = entryFaults("calibration.${place}", entry)
        if (faults) {
            return faults
        }
        def name = "${entry.chunk_bp} bp, ${entry.frame_rule}".toString()
        def again = name in known
        known << name
        return again ? ["calibration.${place} (a second one for ${name})".toString()] : []
    }
}

def entryFaults(key, entry) {
    if (!(entry instanceof Map)) {
        return ["${key} (no object)".toString()]
    }
    return [
        fault("${key}.chunk_bp", entry.chunk_bp, entry.chunk_bp instanceof Integer && entry.chunk_bp >= 1, noCount()),
        fault("${key}.frame_rule", entry.frame_rule, isRuleName(entry.frame_rule), noRule()),
        // no control characters, no halves of a character
        fault("${key}.file", entry.file, entry.file instanceof String && entry.file ==~ /[^\x00-\x1f\x7f\ud800-\udfff]+/, 'no file name'),
        fault("${key}.sha256", entry.sha256, entry.sha256 instanceof String && entry.sha256 ==~ /[0-9A-Fa-f]{64}/, 'not 64 hexadecimal digits'),
    ].flatten()
}

def fault(key, value, fits, cause) {
    return fits ? [] : ["${key} (${value == null ? 'missing' : cause})".toString()]
}

def noCount() {
    'no whole number from 1 on'
}

def noRule() {
    'no name of a frame rule'
}

def isRuleName(value) {
    return value instanceof String && value ==~ /[a-z0-9_]+/
}

// Returns whether a number of JSON is a count; 20.0 is 20.
def isWhole(value) {
    return value instanceof Number && value >= 1 && value <= Integer.MAX_VALUE && value == value.intValue()
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
    def lines = ["format ${set.format}", "chunk_bp ${set.chunk_bp.join(',')}", "frame_rule ${ruleText(set.frame_rule)}"]
    lines += componentNames().collect { name -> "${name} ${set.components[name].sha256.toLowerCase()}" }
    lines += (set.calibration ?: []).collect { c -> "calibration ${c.chunk_bp} ${c.frame_rule} ${c.sha256.toLowerCase()}".toString() }.sort()
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
        identity.viral_prior = calibrated[2]
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

// Returns [rule, residues that a partial frame needs]: --frame_rule, or else the set's own. Without
// partial frames the number is 0.
def frameRule(set, frame_rule) {
    def own = frameRuleOf(set.frame_rule)
    def rule = frame_rule ?: own.rule
    if (rule == 'open') {
        return ['open', 0]
    }
    if (rule != 'longest_open') {
        error("Model set ${set.name} wants the frame rule '${rule}', which this version does not have. Set --frame_rule open to use the original's.")
    }
    return [rule, own.min_residues]
}

// Returns [file, sha256, prior in use] of the calibration for a chunk length and frame rule; all
// empty for a set that has none. A calibration holds only for what it was made with.
def calibration(set, chunk_bp, rule, viral_prior) {
    def known = set.description.calibration ?: []
    def own = known.find { c -> c.chunk_bp == chunk_bp && c.frame_rule == rule }
    if (!own) {
        if (viral_prior != null) {
            def others = known.collect { c -> "${c.chunk_bp} bp, ${c.frame_rule}" }.join('; ') ?: 'nothing'
            error("--viral_prior ${viral_prior}: the model set ${set.name} is not calibrated for chunks of ${chunk_bp} bp and the frame rule ${rule} (but for: ${others}), so that its scores are no probabilities. Leave it out.")
        }
        return [[], '', '']
    }
    def path = file(set.folder, glob: false).resolve(own.file)
    def where = "Model set ${set.name}, calibration for ${chunk_bp} bp, ${rule}: ${path}"
    def prior = readPrior(where, path, own.sha256.toLowerCase(), madeFor(set, chunk_bp, rule))
    return [path.toRealPath(), own.sha256.toLowerCase(), viral_prior == null ? prior : viral_prior]
}

// Returns what a calibration of the set for such chunks is made for.
def madeFor(set, chunk_bp, rule) {
    def least = rule == 'open' ? null : frameRuleOf(set.frame_rule).min_residues
    return [chunk_bp: chunk_bp, frame_rule: rule, min_residues: least, components: set.components.collectEntries { name, part -> [name, part.sha256] }]
}

// Returns the prior that a calibration file states; stops the run when the file is another than the
// set names, or was made for something else. SUMMARISE reads the rest (consensus/calibration_file.py).
def readPrior(where, path, sha256, made_for) {
    if (!path.exists() || path.isDirectory()) {
        error("${where} is missing. Copy the whole folder again.")
    }
    def found = java.security.MessageDigest.getInstance('SHA-256').digest(path.bytes).encodeHex().toString()
    if (found != sha256) {
        error("${where}: sha256 is ${found[0..11]}…, modelset.json says ${sha256[0..11]}…. The file is damaged or was replaced: copy it again, or calibrate the model set again.")
    }
    def content = null
    try {
        content = new groovy.json.JsonSlurper().parseText(path.getText('UTF-8') ?: ' ') // of an empty text it throws something else
    }
    catch (groovy.json.JsonException fault) {
        error("${where}: is no JSON (${fault.message.readLines()[0]}). Copy it again, or calibrate the model set again.")
    }
    if (!(content instanceof Map) || content.format != 1 || !isShare(content.viral_prior)) {
        error("${where}: is no calibration of format 1 with a viral_prior between 0 and 1. Copy it again, or calibrate the model set again.")
    }
    def others = differences(content.made_for, made_for)
    if (others) {
        error("${where}: was made for ${others.join('; ')}. Calibrate the model set again.")
    }
    return content.viral_prior
}

def isShare(value) {
    return value instanceof Number && value.doubleValue() > 0 && value.doubleValue() < 1
}

// Returns in which points a calibration is for something else.
def differences(found, wanted) {
    if (!(found instanceof Map)) {
        return ['no model set that it names']
    }
    def sums = found.components instanceof Map ? found.components : [:]
    def others = ['chunk_bp', 'frame_rule', 'min_residues'].findAll { name -> found[name] != wanted[name] }
        .collect { name -> "${name} ${found[name]}, the set has ${wanted[name]}" }
    return others + wanted.components.findAll { name, sha256 -> sums[name].toString().toLowerCase() != sha256 }
        .collect { name, sha256 -> "another ${name} (${sums[name].toString().take(12)}, the set has ${sha256.take(12)})" }
}
