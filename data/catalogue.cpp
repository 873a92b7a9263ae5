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
        .member = "wikitext-103/wiki.{}.tokens",
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
        .member = "wikitext-2/wiki.{}.tokens",
        .result = "wikitext-2",
    },
};

}  // namespace

const std::vector<Source>& sources() { return kSources; }

}  // namespace rmoe
