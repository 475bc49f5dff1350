// Parameters are described once, in nextflow_schema.json: `--help` and the checks come from there.

// Returns parameter name -> its schema, in the order of the file; each with the name of its group.
def schemaParameters() {
    def schema = new groovy.json.JsonSlurper().parse(file("${projectDir}/nextflow_schema.json", glob: false))
    def parameters = [:]
    schema['$defs'].values().each { group ->
        group.properties.each { name, rule ->
            parameters[name] = rule + [group: group.title, required: name in (group.required ?: [])]
        }
    }
    return parameters
}

// Returns the text of --help.
def helpText() {
    def groups = schemaParameters().groupBy { _name, rule -> rule.group }
    def text = groups.collect { title, rules -> ([title] + rules.collect { name, rule -> helpEntry(name, rule) }).join('\n') }
    return "nextflow run . --input SHEET|FILE|'GLOB' --outdir DIR [options]\n\n" + text.join('\n\n') + '\n'
}

def helpEntry(name, rule) {
    def values = rule['enum'] ? rule['enum'].join('|') : [rule.type].flatten().join('|')
    def standard = rule['default'] == null ? '' : " [${rule['default']}]"
    return "  --${name.padRight(30)} ${values}${standard}\n      ${rule.description}"
}

// Stops the run, before any task, with every parameter that is unknown, mistyped or out of range.
// Returns one warning about unknown ones that only a configuration file sets, or null.
def checkParameters(values, command_line, positional) {
    def rules = schemaParameters()
    def given = givenNames(command_line)
    def unknown = values.keySet().findAll { name -> !(name in rules.keySet()) }
    def asked = unknown.findAll { name -> normalised(name) in given.collect { g -> normalised(g) } }
    def faults = asked.collect { name -> normalised(name) }.unique().collect { name ->
        def text = given.find { g -> normalised(g) == name && !(g in rules.keySet()) }
        "--${text}: there is no such parameter. Did you mean --${nearest(text, rules.keySet())}?"
    }
    rules.each { name, rule ->
        def fault = values[name] == null ? (rule.required ? 'is required' : null) : typeFault(values[name], rule, name, command_line)
        if (fault) {
            faults << "--${name} ${values[name] == null ? '' : "${values[name]} "}${fault}"
        }
    }
    faults += unusedParameters(values.workflow, command_line)
    def words = positional - 'true' // what Nextflow makes of -stub-run
    if (words) {
        faults << "${words.collect { word -> "'${word}'" }.join(', ')} belong to no parameter. The shell may have expanded a pattern: put it in quotes, --input 'reads/*.fa.gz'"
    }
    if (faults) {
        error("Parameters:\n  ${faults.join('\n  ')}\nSee --help.")
    }
    def others = (unknown - asked).sort()
    return others ? "Configuration sets parameters that this pipeline does not have: ${others.join(', ')}" : null
}

// Returns a fault for each parameter given that the chosen workflow does not use.
def unusedParameters(chosen, command_line) {
    def rules = schemaParameters()
    def training = rules.findAll { _name, rule -> rule.group == rules.set_name.group }.keySet()
    def unused = chosen == 'train' ? ['viral_prior', 'allow_chunk_length_mismatch'] : training
    def given = givenNames(command_line).collect { name -> normalised(name) }
    def other = chosen == 'train' ? 'predict' : 'train'
    return unused.findAll { name -> normalised(name) in given }.collect { name -> "--${name} is for --workflow ${other}: omit it" }
}

// Names on the command line and in -params-file, as they are written there.
def givenNames(command_line) {
    def names = (command_line =~ /(?:^|\s)--([A-Za-z][\w.-]*)/).collect { m -> m[1] }
    def from = (command_line =~ /-params-file[\s=]+('[^']*'|"[^"]*"|\S+)/)
    if (from.find()) {
        def path = file(from.group(1).replaceAll('^[\'"]|[\'"]\$', ''), glob: false)
        def content = path.name ==~ /.*\.ya?ml/ ? new groovy.yaml.YamlSlurper().parse(path) : new groovy.json.JsonSlurper().parse(path)
        names += (content as Map).keySet()
    }
    return names
}

// Says what is wrong with a value, or returns null.
def typeFault(value, rule, name, command_line) {
    if (rule.type == 'integer') {
        if (!(value instanceof Integer || value instanceof Long)) {
            return 'must be an integer'
        }
        if (rule.minimum != null && value < rule.minimum) {
            return "must be at least ${rule.minimum}"
        }
    }
    if (rule.type == 'number') {
        if (!(value instanceof Number)) {
            return 'must be a number'
        }
        if (value <= rule.exclusiveMinimum || value >= rule.exclusiveMaximum) {
            return "must be above ${rule.exclusiveMinimum} and below ${rule.exclusiveMaximum}"
        }
    }
    if (rule.type == 'boolean' && !(value instanceof Boolean)) {
        return 'must be true or false'
    }
    if ('string' in [rule.type].flatten()) {
        // of a text that may be switched off, only false is meant; true is an option without a value
        if (value instanceof Boolean && (value || rule.type == 'string')) {
            return 'needs a value'
        }
        // Nextflow reads --name 007 as the number 7
        def typed = (command_line =~ "(?:^|\\s)--${name}[\\s=]+(\\S+)")
        if (value instanceof Number && typed.find() && typed.group(1) != value.toString()) {
            return "was written as ${typed.group(1)} and read as a number: give it in a -params-file, in quotes"
        }
    }
    if (rule.format?.endsWith('path') && value.toString().startsWith('~')) {
        return 'is not expanded by the shell: write the path in full, or with a blank for the equals sign'
    }
    if (rule.pattern && !(value.toString() ==~ rule.pattern)) {
        return rule.errorMessage
    }
    if (rule['enum'] && !(value.toString() in rule['enum'])) {
        return "must be one of ${rule['enum'].join(', ')}"
    }
    return null
}

// A name without hyphens, underscores and case: --shard-tokens, shardTokens and shard_tokens agree.
def normalised(name) {
    return name.toLowerCase().replaceAll(/[-_.]/, '')
}

// The known name that shares most pairs of letters with a wrong one (Dice's coefficient).
def nearest(name, known) {
    def wanted = letterPairs(name)
    return known.max { k ->
        def pairs = letterPairs(k)
        2.0 * wanted.intersect(pairs).size() / (wanted.size() + pairs.size())
    }
}

def letterPairs(name) {
    def text = " ${normalised(name)} "
    return (0..text.size() - 2).collect { i -> text[i..i + 1] }
}
