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

// Returns what --version, --help, --help_full or --help PARAMETER print; null when none of them is given.
def helpText(values, manifest) {
    if (values.version) {
        return "${manifest.name.tokenize('/').last()} ${manifest.version}"
    }
    if (values.help instanceof CharSequence) {
        return helpOfOne(values.help.toString())
    }
    return values.help || values.help_full ? helpOfAll(values.help_full || values.show_hidden) : null
}

// Returns a line for each parameter, by group; hidden ones only if asked for.
def helpOfAll(with_hidden) {
    def rules = schemaParameters()
    def shown = rules.findAll { _name, rule -> with_hidden || !rule.hidden }
    def width = shown.keySet().collect { name -> name.size() }.max()
    def groups = shown.groupBy { _name, rule -> rule.group }
    def text = groups.collect { title, members -> ([title] + members.collect { name, rule -> "  --${name.padRight(width)}  ${rule.description}${allowed(rule)}" }).join('\n') }
    def num_hidden = rules.size() - shown.size()
    def more = num_hidden ? "${num_hidden} rare parameters are hidden: --help_full shows all, --help PARAMETER all about one.\n" : ''
    return "nextflow run . --input SHEET|FILE|'GLOB' --outdir DIR [options]\n\n${text.join('\n\n')}\n\n${more}Guide: ${projectDir}/docs/usage.md"
}

// Returns all that the schema says of a parameter.
def helpOfOne(text) {
    def rules = schemaParameters()
    def name = text.replaceFirst(/^-+/, '')
    if (!(name in rules.keySet())) {
        error("--help ${text}: there is no such parameter. Did you mean --help ${nearest(name, rules.keySet())}?")
    }
    def rule = rules[name]
    return ["--${name}: ${rule.description}", rule.help_text, "type: ${[rule.type].flatten().join(' or ')}${allowed(rule)}", rule.required && rule['default'] == null ? 'required' : null].findAll().join('\n  ')
}

// Returns values and default of a parameter, as "  [default: auto; auto|cpu|cuda]".
def allowed(rule) {
    def parts = [rule['default'] == null || rule['default'] == false ? null : "default: ${rule['default']}".replace('${projectDir}', projectDir.toString()), rule['enum'] ? rule['enum'].join('|') : null].findAll()
    return parts ? "  [${parts.join('; ')}]" : ''
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
    if (values.custom_config_base && !isAddress(values.custom_config_base) && !file("${values.custom_config_base}/nfcore_custom.config", glob: false).exists()) {
        faults << "--custom_config_base ${values.custom_config_base}: there is no nfcore_custom.config in it. Give the folder that has it."
    }
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
    def given = givenNames(command_line).collect { name -> normalised(name) }
    def other = chosen == 'train' ? 'predict' : 'train'
    return parametersOfOther(chosen).findAll { name -> normalised(name) in given }.collect { name -> "--${name} is for --workflow ${other}: omit it" }
}

// Returns the names of the parameters that the chosen workflow does not use.
def parametersOfOther(chosen) {
    def rules = schemaParameters()
    return chosen == 'train' ? ['viral_prior', 'allow_chunk_length_mismatch', 'interleaved', 'min_length', 'max_length', 'strict'] : rules.findAll { _name, rule -> rule.group == rules.set_name.group }.keySet() as List
}

// Returns a line about the institution's configuration in use, or why it is not read; null without one.
def institutionLine(values) {
    if (isAddress(values.custom_config_base) && System.getenv('NXF_OFFLINE') == 'true') {
        return "${values.custom_config_base}/nfcore_custom.config is not read, since NXF_OFFLINE=true: copy it, and give its folder as --custom_config_base"
    }
    def about = ['config_profile_name', 'config_profile_description', 'config_profile_contact', 'config_profile_url'].collect { name -> values[name] }.findAll()
    return about ? "Configuration: ${about.join(', ')}" : null
}

def isAddress(text) {
    return text?.toString() ==~ /\w+:\/\/.*/
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
