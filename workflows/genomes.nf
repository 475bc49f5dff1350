// --input of --workflow train: the sheet of labelled genomes, and the model set that comes of it.
include { bare ; readRows ; resolve ; sampleName } from './samples'

def neededColumns() {
    ['id', 'fasta', 'label', 'class', 'group']
}

// Returns the genomes in sheet order: [id, files, ends, label, kind, group, part, annotation]. All
// faulty rows are reported together.
def readGenomes(input, training_frames, launch_dir) {
    def sheet = file(input, glob: false)
    if (!sheet.isFile()) {
        error("--input ${input}: there is no such file. Training takes a sheet, CSV or TSV: ${neededColumns().join(',')}[,annotation][,split].")
    }
    def header = sheet.readLines() ? sheet.readLines()[0] : ''
    def columns = header.split(/[,\t]/).collect { c -> bare(c).replace('"', '') }
    def lost = neededColumns() - columns
    def others = columns - neededColumns() - ['annotation', 'split']
    if (lost || others) {
        def wrong = [lost ? "is without ${lost.join(', ')}" : '', others ? "has the unknown ${others.join(', ')}" : ''].findAll().join(' and ')
        error("--input ${sheet}: the first line of a training sheet names the columns ${neededColumns().join(', ')}, and may name annotation and split; this one ${wrong}.")
    }
    def (rows, faults) = readRows(sheet)
    def genomes = rows.withIndex().collect { row, n ->
        def where = "row ${n + 1} (${row.id ?: 'no id'})"
        faults += rowFaults(row, training_frames).collect { fault -> "${where}: ${fault}" }
        def paths = ['fasta', 'annotation'].collectEntries { name ->
            def path = row[name] ? resolve(row[name], sheet, launch_dir) : null
            if (row[name] && (!path || path.name.contains('$'))) {
                faults << "${where}: ${row[name]} " + (path ? 'has a dollar sign in its name, which Nextflow cannot stage' : 'is neither beside the sheet nor in the launch folder')
            }
            [name, path]
        }
        [id: row.id, files: [paths.fasta], ends: '0', label: row.label, kind: row['class'], group: row.group, part: row.split ?: '', annotation: paths.annotation]
    }
    faults += genomes.countBy { g -> g.id?.toLowerCase() }.findAll { _id, n -> n > 1 }.keySet().collect { id -> "more than one row has the id '${id}'" }
    faults += genomes.findAll { g -> g.annotation }.groupBy { g -> g.annotation.name }
        .findAll { _name, users -> users*.annotation.unique().size() > 1 }
        .collect { name, users -> "the annotations of ${users*.id.join(' and ')} are different files of one name, ${name}: rename one" }
    if (faults) {
        error("--input ${sheet}:\n  ${faults.join('\n  ')}")
    }
    return genomes
}

// Returns what is wrong with the cells of a row.
def rowFaults(row, training_frames) {
    def faults = []
    if (!(row.id ==~ sampleName())) {
        faults << "an id is letters, digits, '.', '_' and '-' only, e.g. ${(row.id ?: 'genome_1').replaceAll(/[^A-Za-z0-9._-]/, '_')}"
    }
    faults += ['fasta', 'class', 'group'].findAll { name -> !row[name] }.collect { name -> "the column ${name} is empty" }
    if (!(row.label in ['viral', 'nonviral'])) {
        faults << "label is '${row.label}', not viral or nonviral"
    }
    if (row.split && !(row.split in ['train', 'val', 'test'])) {
        faults << "split is '${row.split}', not train, val, test or empty"
    }
    if (['class', 'group'].any { name -> row[name] =~ /[\t\r\n\\]/ }) {
        faults << 'class and group hold no tabs, line breaks and backslashes'
    }
    if (training_frames == 'coding' && !row.annotation && !(row.split in ['val', 'test'])) {
        faults << '--training_frames coding needs its annotation, GFF3 or GenBank'
    }
    return faults
}

// Returns the text of the genomes for PREPARE_TRAINING: GENOMES_HEADER of training/genomes.py.
def genomesTable(genomes) {
    def rows = genomes.collect { g -> [g.id, g.label, g.kind, g.group, g.part, g.annotation ? g.annotation.name : ''] }
    return ([['id', 'label', 'kind', 'group', 'part', 'annotation']] + rows).collect { row -> row.join('\t') + '\n' }.join('')
}

// Returns what the new set's modelset.json says of itself and of the encoders, which stay where they
// are. References are relative where the set and they can be moved together.
def newModelSet(model, name, chunk_bp, frame_rule, outdir, weights_dir, version) {
    def folder = file("${outdir}/${name}", glob: false)
    if (folder.scheme != 'file') {
        error("--outdir ${outdir}: the new model set refers to files on this machine. Train into a local folder, and copy the set and its components.")
    }
    folder.parent.mkdirs()
    def place = folder.parent.toRealPath().resolve(name)
    def components = ['dnabert_s', 'tokenizer', 'esm2'].collectEntries { role ->
        def source = file(model.folder, glob: false).resolve(model.description.components[role].file)
        def target = weights_dir && !source.exists() ? source.normalize() : source.toRealPath()
        def shares = target.getName(0) == place.getName(0)
        [role, model.description.components[role] + [file: (shares ? place.relativize(target) : target).toString()]]
    }
    return [
        name: name,
        base: [name: model.name, digest: model.digest],
        components: components,
        chunk_bp: chunk_bp,
        frame_rule: frame_rule[0] == 'open' ? 'open' : [rule: frame_rule[0], min_residues: frame_rule[1]],
        licence: "encoders: ${model.description.licence ?: 'as the base set'}; classifier: yours".toString(),
        pipeline_version: version,
    ]
}
