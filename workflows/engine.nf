// How the encoders compute: options of the embedding tasks, from parameters or a file of `virnucpro profile`.

def encoderNames() {
    ['dnabert_s', 'esm2']
}

// Returns encoder -> the values of its tasks' options; token_budget is '' for the default.
// All are inputs of the tasks, since the last bits of a vector depend on them.
def encoderSettings(model, values, rules) {
    def profile = values.engine_profile ? readProfile(values.engine_profile, model, values, rules) : [:]
    return encoderNames().collectEntries { name ->
        // torch's kernel for packed batches has no ALiBi
        def without = name == 'dnabert_s' && values.attention == 'varlen'
        def own = profile[name] ?: [attention: without ? 'auto' : values.attention, token_budget: values.token_budget ?: '']
        [name, [device: values.device, precision: values.precision, engine: values.engine] + own]
    }
}

// Returns the options of an encoder as its process takes them.
def taskOptions(settings) {
    return [settings.device, settings.precision, settings.engine, settings.attention, settings.token_budget]
}

// Returns encoder -> attention and token_budget that `virnucpro profile` recommends for this set.
def readProfile(path, model, values, rules) {
    def where = "--engine_profile ${path}"
    def again = 'Make it again with virnucpro profile.'
    def source = file(path.toString(), glob: false)
    if (!source.isFile()) {
        error("${where}: there is no such file.")
    }
    def profile = [:]
    try {
        profile = new groovy.json.JsonSlurper().parseText(source.text)
    }
    catch (groovy.json.JsonException fault) {
        error("${where}: is no JSON (${fault.message.readLines()[0]}). ${again}")
    }
    if (!(profile instanceof Map) || profile.format != 1 || !(profile.encoders instanceof Map)) {
        error("${where}: is no file of virnucpro profile. ${again}")
    }
    def faults = encoderNames().collectMany { name ->
        def own = profile.encoders[name] instanceof Map ? profile.encoders[name] : [:]
        [
            own.attention in rules.attention['enum'] ? '' : "encoders.${name}.attention is ${own.attention}",
            own.token_budget instanceof Integer && own.token_budget >= rules.token_budget.minimum ? '' : "encoders.${name}.token_budget is ${own.token_budget}",
            own.component_sha256 == model.components[name].sha256 ? '' : "encoders.${name} is another than that of --model_set",
        ].findAll()
    }
    if (!(values.precision in [profile.precision, profile.asked_precision])) {
        faults << "it was measured with --precision ${profile.asked_precision}"
    }
    if (values.device == 'cpu' && profile.device_type != 'cpu') {
        faults << 'it was measured on a GPU'
    }
    if (faults) {
        error("${where}:\n  ${faults.join('\n  ')}\n${again}")
    }
    return encoderNames().collectEntries { name -> [name, profile.encoders[name].subMap(['attention', 'token_budget'])] }
}

// Returns what parameters of the engine exclude each other.
def engineFaults(values) {
    def faults = []
    if (values.device == 'cpu' && values.precision in ['tf32', 'fp16', 'fp8']) {
        faults << "--precision ${values.precision} needs a GPU: with --device cpu use auto, fp32 or bf16"
    }
    if (values.device == 'cpu' && values.attention in ['triton', 'varlen', 'flash']) {
        faults << "--attention ${values.attention} needs a GPU: with --device cpu use auto, sdpa or reference"
    }
    if (values.engine == 'official') {
        def others = [precision: values.precision in ['auto', 'fp32'], attention: values.attention == 'auto', token_budget: !values.token_budget, engine_profile: !values.engine_profile]
        others.findAll { _name, fits -> !fits }.each { name, _fits ->
            faults << "--engine official computes in fp32 with its own attention and batches: leave --${name} away"
        }
    }
    if (values.engine_profile && (values.token_budget || values.attention != 'auto')) {
        faults << '--engine_profile holds attention and token_budget: leave --attention and --token_budget away'
    }
    return faults
}
