#include "data/debian_texts.hpp"
#include "data/sources.hpp"

namespace rmoe {
namespace {

constexpr const char* kPublicDomain = "public domain";
constexpr const char* kWikipedia = "CC BY-SA and GFDL";

// A table: one field a line. The sums of the Wikipedia texts are those that independent projects publish;
// those of the Debian packages are in Debian's signed index.
const std::vector<Source> kSources{
    {
        .name = "kjv",
        .about = "King James Bible, a verse a line, 4.4 MB: small, regular English",
        .licence = kPublicDomain,
        .archive = {.urls = {"http://deb.debian.org/debian/pool/main/b/bible-kjv/bible-kjv-text_4.38_all.deb",
                             "https://snapshot.debian.org/file/1666fa8517505735afa6b63c149d7879c42fb1a2"},
                    .bytes = 2'445'000,
                    .sha256 = "d61b6aad4c51ba9e2800b825325fa6a09e99a0d02a9bb6dc4724fcc4995a1b7a"},
        .archive_name = "bible-kjv-text.deb",
        .package = "bible-kjv-text",
        .member = "usr/lib/bible.data",
        .read = read_bible,
        .result = "kjv.txt",
        .bytes = 4'404'412,
        .sha256 = "cd45f0c9cedab8e4439bd6486c8952c77cc8b0ecc5d1f6ae3513f2039f47229d",
    },
    {
        .name = "austen",
        .about = "Jane Austen's six novels, 4.0 MB: small, modern prose",
        .licence = kPublicDomain,
        .archive = {.urls = {"http://deb.debian.org/debian/pool/main/r/r-cran-janeaustenr/"
                             "r-cran-janeaustenr_1.0.0-1_all.deb",
                             "https://snapshot.debian.org/file/0526a5841219e475fbbf6e2d3bcd96e6fb0f479d"},
                    .bytes = 1'626'392,
                    .sha256 = "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95"},
        .archive_name = "r-cran-janeaustenr.deb",
        .package = "r-cran-janeaustenr",
        .member = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb",
        .read = read_novels,
        .result = "austen.txt",
        .bytes = 4'025'029,
        .sha256 = "65b434d16a8755142bfa95ba19c5f9abd0d30cf3dffe3b6793e834f9f56dcc96",
    },
    {
        .name = "enwik8",
        .about = "first 100 MB of a Wikipedia dump of 2006 with its XML: the byte-level benchmark",
        .licence = kWikipedia,
        .archive = {.urls = {"http://mattmahoney.net/dc/enwik8.zip", "https://data.deepai.org/enwik8.zip"},
                    .bytes = 36'445'475,
                    .sha256 = "547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc"},
        .archive_name = "enwik8.zip",
        .member = "enwik8",
        .result = "enwik8",
        .bytes = 100'000'000,
        .sha256 = "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8",
    },
    {
        .name = "text8",
        .about = "the same Wikipedia as 100 MB of lower-case letters and spaces",
        .licence = kWikipedia,
        .archive = {.urls = {"http://mattmahoney.net/dc/text8.zip"},
                    .bytes = 31'344'016,
                    .sha256 = "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232"},
        .archive_name = "text8.zip",
        .member = "text8",
        .result = "text8",
        .bytes = 100'000'000,
        .sha256 = "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7",
    },
    {
        .name = "wikitext-103",
        .about = "103 million words of good Wikipedia articles: the word-level benchmark",
        .licence = kWikipedia,
        .archive = {.urls = {"https://wikitext.smerity.com/wikitext-103-v1.zip"},
                    .bytes = 190'229'076,
                    .sha256 = "242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590"},
        .archive_name = "wikitext-103.zip",
        .members = {{"wikitext-103/wiki.train.tokens", "train.txt"},
                    {"wikitext-103/wiki.valid.tokens", "valid.txt"},
                    {"wikitext-103/wiki.test.tokens", "test.txt"}},
        .result = "wikitext-103",
    },
    {
        .name = "wikitext-2",
        .about = "2 million words of the same kind",
        .licence = kWikipedia,
        .archive = {.urls = {"https://wikitext.smerity.com/wikitext-2-v1.zip"},
                    .bytes = 4'475'746,
                    .sha256 = "92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c"},
        .archive_name = "wikitext-2.zip",
        .members = {{"wikitext-2/wiki.train.tokens", "train.txt"},
                    {"wikitext-2/wiki.valid.tokens", "valid.txt"},
                    {"wikitext-2/wiki.test.tokens", "test.txt"}},
        .result = "wikitext-2",
    },
    {
        .name = "alpaca",
        .about = "52,002 instructions with answers, 23 MB: for rmoe sft",
        .licence = "CC BY-NC 4.0",
        .archive = {.urls = {"https://raw.githubusercontent.com/tatsu-lab/stanford_alpaca/"
                             "761dc5bfbdeeffa89b8bff5d038781a4055f796a/alpaca_data.json"},
                    .bytes = 0,
                    .sha256 = "2eddafc6b977608d778aaab8dfc7e50e547b3af9826dfb9e909d9fc362e4a419"},
        .result = "alpaca_data.json",
    },
    {
        .name = "arc",
        .about =
            "ARC's test questions, easy and challenge, out of 681 MB: for rmoe eval --tasks, as all below",
        .licence = "CC BY-SA 4.0",
        .archive = {.urls = {"https://s3-us-west-2.amazonaws.com/ai2-website/data/ARC-V1-Feb2018.zip"},
                    .bytes = 680'841'265,
                    .sha256 = "6d2d5ab50b2ceec6ba5f79c921be77cf2de712ea25a2b3f4fff3acc101cecfa0"},
        .archive_name = "ARC-V1-Feb2018.zip",
        .members = {{"ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Test.jsonl", "ARC-Easy-Test.jsonl"},
                    {"ARC-V1-Feb2018-2/ARC-Challenge/ARC-Challenge-Test.jsonl", "ARC-Challenge-Test.jsonl"}},
        .result = "arc",
    },
    {
        .name = "hellaswag",
        .about = "HellaSwag's validation split, 10,042 stories to be continued",
        .licence = "MIT",
        .archive = {.urls = {"https://raw.githubusercontent.com/rowanz/hellaswag/master/data/"
                             "hellaswag_val.jsonl"},
                    .bytes = 12'246'618,
                    .sha256 = "0aa3b88843990f3f10a97b9575c94d7b71fb2205240ba04ae4884d9e9c992588"},
        .result = "hellaswag_val.jsonl",
    },
    {
        .name = "piqa",
        .about = "PIQA's validation split, 1,838 everyday goals with two solutions",
        .licence = "AFL-3.0",
        .archive = {.urls = {"https://storage.googleapis.com/ai2-mosaic/public/physicaliqa/"
                             "physicaliqa-train-dev.zip"},
                    .bytes = 1'824'009,
                    .sha256 = "54d32a04f59a7e354396f321723c8d7ec35cc6b08506563d8d1ffcc15ce98ddd"},
        .archive_name = "physicaliqa-train-dev.zip",
        .members = {{"physicaliqa-train-dev/dev.jsonl", "dev.jsonl"},
                    {"physicaliqa-train-dev/dev-labels.lst", "dev-labels.lst"}},
        .result = "piqa",
    },
    {
        .name = "sciq",
        .about = "SciQ's test split, 1,000 science questions with their support",
        .licence = "CC BY-NC 3.0",
        .archive = {.urls = {"https://s3-us-west-2.amazonaws.com/ai2-website/data/SciQ.zip"},
                    .bytes = 2'821'345,
                    .sha256 = "7f3312f6ac6b09970b32942d106a8c44ec0dad46a0369f17d635aff8e348a87c"},
        .archive_name = "SciQ.zip",
        .members = {{"SciQ dataset-2 3/test.json", "test.json"}},
        .result = "sciq",
    },
    {
        .name = "lambada",
        .about = "5,153 passages whose last word is to be predicted, as OpenAI published them",
        .licence = "modified MIT",
        .archive = {.urls = {"https://openaipublic.blob.core.windows.net/gpt-2/data/lambada_test.jsonl"},
                    .bytes = 1'819'752,
                    .sha256 = "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226"},
        .result = "lambada_test.jsonl",
    },
};

}  // namespace

const std::vector<Source>& sources() { return kSources; }

}  // namespace rmoe
