// What the checking processes are asked, and answer. A container sees staged files only, so the launch
// machine says which files there are; what may be asked for is Python (src/virnucpro/input_checks).

// Returns [JSON, files to stage, file of --engine_profile or []] for CHECK_MODEL_SET.
def modelSetRequest(values, version) {
    def folder = modelSetFolder(values.model_set.toString())
    def paths = filesOfSet(folder)
    def staged = paths.findAll { name, path -> name.endsWith('.json') && !fault(path) }
    def profile = values.engine_profile ? pathOf('engine_profile', values.engine_profile) : null
    def no_profile = profile ? (profile.exists() ? fault(profile) : 'there is no such file') : null
    def training = values.workflow == 'train'
    def options = ['chunk_length', 'allow_chunk_length_mismatch', 'frame_rule', 'viral_prior', 'weights_dir', 'rna', 'min_length', 'max_length']
    def request = values.subMap(options) + [
        model_set: values.model_set.toString(),
        folder: folder.toUriString(),
        known_sets: namedSets().keySet().sort(),
        paths: paths.collectEntries { name, path -> [name, path.toUriString()] },
        faults: paths.collectEntries { name, path -> [name, fault(path)] }.findAll { _name, what -> what },
        staged: staged.keySet(),
        encoder: values.subMap(['device', 'precision', 'engine', 'attention', 'token_budget']),
        engine_profile: profile ? [name: values.engine_profile.toString(), fault: no_profile] : null,
        set_name: training ? values.set_name : null,
        outdir: training ? realPath(pathOf('outdir', values.outdir)).toUriString() : '',
        pipeline_version: version,
    ]
    return [groovy.json.JsonOutput.toJson(request), staged.values() as List, profile && !no_profile ? profile : []]
}

// Returns [JSON, sheet or []] for CHECK_SAMPLESHEET.
def samplesheetRequest(values, launch_dir) {
    def input = values.input.toString()
    def path = pathOf('input', input)
    def is_sheet = path.exists() && !fault(path) && looksLikeSheet(path)
    def matches = path.exists() ? [path] : [file(input)].flatten().findAll { p -> p.exists() }.sort { p -> p.toString() }
    def places = is_sheet ? placesInSheet(path, launch_dir) : matches.collectEntries { p -> [p.toUriString(), p] }
    def request = [
        input: input,
        matches: is_sheet ? [] : matches.collect { p -> p.toUriString() },
        paths: places.collectEntries { text, place -> [text, place instanceof String ? place : place.toUriString()] },
        faults: places.collectEntries { text, place -> [text, fault(place)] }.findAll { _text, what -> what },
        real_paths: places.collectEntries { text, place -> [text, place instanceof String ? place : place.toRealPath().toUriString()] },
        interleaved: values.interleaved,
        training_frames: values.workflow == 'train' ? values.training_frames : null,
    ]
    return [groovy.json.JsonOutput.toJson(request), is_sheet ? path : []]
}

// Returns what a checking process answers. JsonSlurper's lazy maps break when operators share them.
def readJson(path) {
    return new groovy.json.JsonSlurperClassic().parseText(path.text)
}

// Returns the samples, or stops when a remote file of theirs cannot be reached.
def reachable(samples) {
    def remote = samples.collectMany { s -> s.files }.findAll { path -> isRemote(path) }
    def unreachable = remote.findAll { path -> !canReach(path) }
    if (unreachable) {
        error("--input: these addresses cannot be reached from here:\n  ${unreachable.join('\n  ')}\nDownload the files, and give their paths.")
    }
    return samples
}

// Returns the folder of a model set, given by path or by name.
def modelSetFolder(text) {
    def folder = pathOf('model_set', text)
    return folder.exists() ? folder : (namedSets()[text] ?: folder)
}

// Returns name -> folder of the bundled model sets, and of those below the folders in VIRNUCPRO_MODELS.
def namedSets() {
    def named = (System.getenv('VIRNUCPRO_MODELS') ?: '').tokenize(':').collect { path -> file(path, glob: false) }
    return ([file("${projectDir}/models", glob: false)] + named)
        .findAll { folder -> folder.isDirectory() }
        .collectMany { folder -> [folder] + folder.listFiles().toList() }
        .findAll { folder -> folder.resolve('modelset.json').isFile() }
        .collectEntries { folder -> [folder.name, folder] }
}

// Returns name -> real path of modelset.json and of each file that it names, where there is one.
def filesOfSet(folder) {
    def description = folder.resolve('modelset.json')
    def text = textOf(description)
    def named = (text =~ /"file"\s*:\s*("(?:[^"\\]|\\.)*+")/).collect { m -> jsonText(m[1]) }
    return (['modelset.json'] + named).unique()
        .collectEntries { name -> [name, resolved(folder, name)] }
        .findAll { _name, path -> path?.exists() }
        .collectEntries { name, path -> [name, path.toRealPath()] }
}

// Returns text -> path of whatever in a sheet may be a cell that names a file: absolute, beside the
// sheet, or in the launch folder. An address stays a text: cells of other columns are not opened.
def placesInSheet(sheet, launch_dir) {
    def text = textOf(sheet)
    def quoted = (text =~ /"((?:[^"]|"")*+)"/).collect { m -> m[1].replace('""', '"') }
    def cells = (text.split(/[\t\r\n]/).toList() + text.split(/[,\t\r\n]/).toList() + quoted)*.replaceAll(/^[\s\u00A0\u200B\uFEFF]+|[\s\u00A0\u200B\uFEFF]+$/, '').findAll().unique()
    def places = [:]
    cells.each { cell ->
        def candidates = [resolved(sheet.parent, cell), resolved(launch_dir, cell)]
        def place = isRemote(cell) ? cell : candidates.find { path -> path?.exists() }
        if (place) {
            places[cell] = place
        }
    }
    return places
}

// Returns whether a file is text whose first line may name columns: not FASTA, FASTQ or SAM.
def looksLikeSheet(path) {
    if (path.size() > largestText()) {
        return false
    }
    def head = path.withInputStream { stream -> new String(stream.readNBytes(4096), 'UTF-8') }
    return path.name ==~ /(?i).*\.(csv|tsv)/ || head ==~ /(?s)\uFEFF?[^>@\x00\n]*[,\t].*/ && !head.contains('\u0000')
}

// Returns why a task cannot read a path that is there, or null.
def fault(path) {
    if (path.toString() =~ /[$\x00-\x1f\x7f]|\s$/) {
        return 'has a dollar sign, a control character, or a blank at its end in its path, which Nextflow cannot stage: rename or link it'
    }
    if (path instanceof String) {
        return null
    }
    if (path.isDirectory()) {
        return 'is a folder'
    }
    if (path.exists() && !path.isFile()) {
        return 'is a pipe or a device, not a file'
    }
    return path.exists() && !java.nio.file.Files.isReadable(path) ? 'is not readable for you' : null
}

def isRemote(text) {
    return text ==~ /(?s)[A-Za-z][A-Za-z0-9+.-]*:\/\/.*/ && !text.startsWith('file:')
}

// Returns whether there is such a remote file; there is none where no network or plugin leads.
def canReach(address) {
    try {
        return file(address, glob: false).exists()
    }
    catch (Exception fault) {
        log.debug("${address}: ${fault}")
        return false
    }
}

// Returns the path that a parameter names.
def pathOf(parameter, text) {
    try {
        return file(text.toString(), glob: false)
    }
    catch (Exception fault) {
        error("--${parameter} ${text}: cannot be reached from here (${fault.message}). Give a path on this machine.")
    }
}

// Returns the content of a small text file; '' for any other.
def textOf(path) {
    return path.isFile() && java.nio.file.Files.isReadable(path) && path.size() <= largestText() ? new String(path.bytes, 'UTF-8') : ''
}

// Bytes of a sheet or of modelset.json.
def largestText() {
    return 1 << 24
}

// Returns a path below a folder, or null for a text that cannot be one.
def resolved(folder, text) {
    try {
        return folder.resolve(text)
    }
    catch (java.nio.file.InvalidPathException _fault) {
        return null
    }
}

// Returns the path without links, of what may not be there yet.
def realPath(path) {
    return path.exists() ? path.toRealPath() : realPath(path.parent).resolve(path.name)
}

// Returns the text that a JSON string stands for; as it is written where it is not valid.
def jsonText(quoted) {
    try {
        return new groovy.json.JsonSlurper().parseText("[${quoted}]")[0]
    }
    catch (groovy.json.JsonException _fault) {
        return quoted
    }
}
