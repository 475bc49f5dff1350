// --input -> the list of samples, in order: [id, files, ends, columns]. `ends` holds a letter for
// each file: 0 single or BAM, 1 first mates, 2 second mates. `columns` are the sheet's further ones.
def readSamples(input, launch_dir) {
    if (file(input, glob: false).exists()) {
        def path = file(input, glob: false)
        if (path.isDirectory()) {
            error("--input ${input}: is a folder. Give a samplesheet, a file, or a quoted glob such as '${input}/*.fa.gz'.")
        }
        return isSheet(path) ? readSheet(path, launch_dir) : refuse("--input ${input}", [sampleOf(path)], [])
    }
    def found = [file(input)].flatten().findAll { p -> p.exists() }.sort { p -> p.toString() }
    if (!found) {
        error("--input ${input}: no such file, and no file matches it as a pattern.")
    }
    return refuse("--input ${input}", found.collect { path -> sampleOf(path) }, [])
}

// A samplesheet is text whose first line names the columns sample and input. A .csv or .tsv file is
// meant as one.
def isSheet(path) {
    def head = path.withInputStream { stream -> new String(stream.readNBytes(4096), 'UTF-8') }
    def columns = head.readLines() ? head.readLines()[0].split(/[,\t]/).collect { c -> bare(c).replace('"', '') } : []
    def sheet = 'sample' in columns && 'input' in columns
    if (!sheet && path.name ==~ /(?i).*\.(csv|tsv)/) {
        error("--input ${path}: a samplesheet's first line names the columns sample and input (and input_2 for mates), separated by commas or tabs; this one's is: ${columns.join(', ')}")
    }
    return sheet
}

// One file given directly: the sample is called after it.
def sampleOf(path) {
    def stem = path.name.replaceFirst(/(?i)(\.(gz|bz2|xz|zst))?$/, '')
        .replaceFirst(/(?i)\.(fa|fas|fasta|fna|ffn|fq|fastq|bam)$/, '')
    return [id: stem.replaceAll(/[^A-Za-z0-9._-]/, '_'), files: [path], ends: '0', columns: [:]]
}

// Reads a CSV or TSV sheet; all faulty rows are reported together.
def readSheet(sheet, launch_dir) {
    def (rows, faults) = readRows(sheet)
    def samples = [:]
    (rows ? rows[0].keySet() : []).findAll { name -> name ==~ /(?i)(input|fastq|mates?|reads?|r)_?-?2/ && name != 'input_2' }.each { name ->
        faults << "column ${name}: mates stand in the column input_2"
    }
    rows.eachWithIndex { row, n ->
        def where = "row ${n + 1} (${row.sample ?: 'no sample'})"
        if (!(row.sample ==~ sampleName())) {
            faults << "${where}: a sample is called by letters, digits, '.', '_' and '-' only, e.g. ${(row.sample ?: 'sample_1').replaceAll(/[^A-Za-z0-9._-]/, '_')}"
        }
        if (!row.input) {
            faults << "${where}: the column input is empty"
        }
        def paths = [row.input, row.input_2].findAll { p -> p }.collect { p -> resolve(p, sheet, launch_dir) ?: [lost: p] }
        paths.findAll { p -> p instanceof Map }.each { p ->
            faults << "${where}: ${p.lost} is neither beside the sheet nor in the launch folder"
        }
        def together = (samples[row.sample]?.files ?: []) + paths
        paths.findAll { p -> !(p instanceof Map) && together.count(p) > 1 }.unique().each { p ->
            faults << "${where}: ${p.name} stands twice in this sample"
        }
        def columns = row.findAll { name, _value -> !(name in ['sample', 'input', 'input_2']) }
        def sample = samples.get(row.sample, [id: row.sample, files: [], ends: '', columns: columns])
        sample.files += paths
        sample.ends += row.input_2 ? '12' : '0'
        // several rows of a sample: their different values side by side
        sample.columns = sample.columns.collectEntries { name, value -> [name, columns[name] in value.tokenize(';') || !columns[name] ? value : [value, columns[name]].findAll { v -> v }.join(';')] }
    }
    return refuse("--input ${sheet}", samples.values() as List, faults)
}

// Returns a path of the sheet: absolute, beside the sheet, or in the launch folder; null if lost.
def resolve(text, sheet, launch_dir) {
    if (text.startsWith('/') || text =~ /^[a-z0-9]+:\/\//) {
        def path = file(text, glob: false)
        return path.exists() ? path : null
    }
    return [sheet.parent.resolve(text), launch_dir.resolve(text)].find { path -> path.exists() }
}

// Returns the samples, or stops with all that is wrong about them.
def refuse(where, samples, faults) {
    def repeated = samples.countBy { s -> s.id.toLowerCase() }.findAll { _id, n -> n > 1 }.keySet()
    def names = samples.findAll { s -> s.id && (!(s.id ==~ sampleName()) || s.id in reservedNames()) && !faults.any { f -> f.contains("(${s.id})") } }
        .collect { s -> "sample '${s.id}': needs another name (letters, digits, '.', '_', '-', not ${reservedNames().join(', ')}). Name it in a samplesheet" }
    def dollars = samples.collectMany { s -> s.files }.findAll { f -> f instanceof java.nio.file.Path && f.name.contains('$') }
        .collect { f -> "${f.name}: Nextflow cannot stage a file with a dollar sign in its name. Rename or link it" }
    def all = faults + names + dollars + repeated.collect { id -> "more than one file would be the sample '${id}'. Name them in a samplesheet" }
    if (all) {
        error("${where}:\n  ${all.join('\n  ')}")
    }
    return samples
}

// What a sample may be called: it becomes a folder beside summary.tsv and pipeline_info.
def sampleName() {
    return /[A-Za-z0-9][A-Za-z0-9._-]*/
}

def reservedNames() {
    return ['summary.tsv', 'pipeline_info']
}

// Reads a sheet, of samples or of genomes: [rows, faults], a map column -> cell for each row that is not
// blank, and what is wrong with the shape. A comma too many would put cells under wrong columns in silence.
def readRows(sheet) {
    def cells = cellsOf(sheet, sheet.readLines()[0]?.contains('\t') ? '\t' : ',')
    def columns = cells ? cells[0].collect { name -> name.replace('"', '') } : []
    def faults = columns.countBy { name -> name }.findAll { name, n -> name && n > 1 }.keySet().collect { name -> "more than one column is called ${name}" }
    if (cells.size() < 2) {
        faults << 'the sheet has no rows'
    }
    def rows = cells.drop(1).withIndex().collect { row, n ->
        if (row.drop(columns.size()).any()) {
            faults << "row ${n + 1} (${row[0]}): ${row.size()} cells, but ${columns.size()} columns. Put a cell with a comma in double quotes"
        }
        [columns, row + [''] * columns.size()].transpose().collectEntries()
    }
    return [rows, faults]
}

// Returns the cells of each line that is not blank.
def cellsOf(sheet, separator) {
    try {
        return sheet.splitCsv(sep: separator, strip: true, quote: '"').collect { row -> row.collect { cell -> bare(cell) } }
    }
    catch (IllegalStateException fault) { // an unclosed quote
        error("--input ${sheet}: ${fault.message}. Close the quote, or remove it.")
    }
}

// A cell without blanks and byte order mark.
def bare(cell) {
    return (cell ?: '').toString().replace('\uFEFF', '').trim()
}
