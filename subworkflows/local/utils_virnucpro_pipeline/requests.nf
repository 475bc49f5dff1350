// What the checking processes are asked, and answer. A container sees staged files only, so the launch machine
// says which files there are; every rule about them is Python (src/virnucpro/input_checks).

// Returns [JSON, files to stage, file of --engine_profile or []] for CHECK_MODEL_SET.
def modelSetRequest(values, version) {
    def folder = file(values.model_set.toString(), glob: false)
    def paths = filesOfSet(folder)
    def staged = paths.findAll { name, _path -> name.endsWith('.json') }
    def profile = values.engine_profile ? file(values.engine_profile.toString(), glob: false) : null
    def training = values.workflow == 'train'
    def request = values.subMap(['chunk_length', 'allow_chunk_length_mismatch', 'frame_rule', 'viral_prior', 'weights_dir', 'rna']) + [
        model_set: values.model_set.toString(),
        folder: folder.toUriString(),
        paths: paths.collectEntries { name, path -> [name, path.toUriString()] },
        staged: staged.keySet(),
        engine: values.subMap(['device', 'precision', 'engine', 'attention', 'token_budget', 'engine_profile']),
        set_name: training ? values.set_name : null,
        outdir: training ? realPath(file(values.outdir.toString(), glob: false)).toUriString() : '',
        pipeline_version: version,
    ]
    return [groovy.json.JsonOutput.toJson(request), staged.values() as List, profile?.isFile() ? profile : []]
}

// Returns [JSON, sheet or []] for CHECK_SAMPLESHEET.
def samplesheetRequest(values, launch_dir) {
    def input = values.input.toString()
    def path = file(input, glob: false)
    def is_sheet = path.isFile() && looksLikeSheet(path)
    def matches = path.exists() ? [path] : [file(input)].flatten().findAll { p -> p.exists() }.sort { p -> p.toString() }
    def request = [
        input: input,
        is_folder: path.isDirectory(),
        matches: is_sheet ? [] : matches.collect { p -> p.toUriString() },
        paths: is_sheet ? filesOfSheet(path, launch_dir) : [:],
        training_frames: values.workflow == 'train' ? values.training_frames : null,
    ]
    return [groovy.json.JsonOutput.toJson(request), is_sheet ? path : []]
}

// Returns what a checking process answers. JsonSlurper's lazy maps break when operators share them.
def readJson(path) {
    return new groovy.json.JsonSlurperClassic().parseText(path.text)
}

// Returns name -> real path of modelset.json and of each file that it names, where there is one.
def filesOfSet(folder) {
    def description = folder.resolve('modelset.json')
    def text = description.isFile() ? description.getText('UTF-8') : ''
    def named = (text =~ /"file"\s*:\s*("(?:[^"\\]|\\.)*+")/).collect { m -> jsonText(m[1]) }
    return (['modelset.json'] + named).unique()
        .collectEntries { name -> [name, resolved(folder, name)] }
        .findAll { _name, path -> path?.isFile() }
        .collectEntries { name, path -> [name, path.toRealPath()] }
}

// Returns cell -> path of each cell of a sheet that names a file: absolute, beside the sheet, or in
// the launch folder.
def filesOfSheet(sheet, launch_dir) {
    def text = sheet.getText('UTF-8')
    def separator = text.readLines()[0].contains('\t') ? '\t' : ','
    def unquoted = text.readLines().collectMany { line -> line.split(separator).toList() }
    def quoted = (text =~ /"((?:[^"]|"")*+)"/).collect { m -> m[1].replace('""', '"') }
    return (unquoted + quoted)*.replace('\uFEFF', '')*.trim().findAll().unique()
        .collectEntries { cell -> [cell, cell =~ /^(\/|[a-z0-9]+:\/\/)/ ? [file(cell, glob: false)] : [resolved(sheet.parent, cell), resolved(launch_dir, cell)]] }
        .collectEntries { cell, places -> [cell, places.find { path -> path?.isFile() }?.toUriString()] }
        .findAll { _cell, path -> path }
}

// Returns whether a file is text whose first line may name columns: not FASTA, FASTQ or SAM.
def looksLikeSheet(path) {
    def head = path.withInputStream { stream -> new String(stream.readNBytes(4096), 'UTF-8') }
    return path.name ==~ /(?i).*\.(csv|tsv)/ || head ==~ /(?s)\uFEFF?[^>@\x00\n]*[,\t].*/ && !head.contains('\u0000')
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
