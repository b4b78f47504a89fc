#include "oci/manifest.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

namespace berth::oci {
namespace {

constexpr std::string_view kSchema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";

std::string digest(char digit) { return "sha256:" + std::string(64, digit); }

/// A descriptor with more members behind the three that are required: `extra` starts with a comma.
std::string descriptor(std::string_view type, char digit, std::string_view extra = "") {
  return R"({"mediaType":")" + std::string(type) + R"(","digest":")" + digest(digit) + R"(","size":7)" +
         std::string(extra) + "}";
}

const std::string kConfig = descriptor("application/vnd.oci.image.config.v1+json", 'c');
const std::string kLayer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", '1');

/// An image manifest without mediaType; `extra` starts with a comma.
std::string image(std::string_view extra = "", const std::string& layers = "[" + kLayer + "]") {
  return R"({"schemaVersion":2,"config":)" + kConfig + R"(,"layers":)" + layers + std::string(extra) + "}";
}

std::string index(std::string_view extra = "", const std::string& manifests = "[]") {
  return R"({"schemaVersion":2,"manifests":)" + manifests + std::string(extra) + "}";
}

/// An image whose only layer is given.
std::string image_of(const std::string& layer) { return image("", "[" + layer + "]"); }

std::string named(std::string_view type) { return R"(,"mediaType":")" + std::string(type) + '"'; }

Result<Manifest> parse(std::string_view body, std::string_view type = "", const ManifestLimits& limits = {}) {
  return parse_manifest(body, type, limits);
}

std::string refusal(std::string_view body, std::string_view type = "", const ManifestLimits& limits = {}) {
  const auto manifest = parse(body, type, limits);
  if (manifest) return "accepted";
  if (manifest.error().code != ErrorCode::manifest_invalid) return "wrong code";
  return manifest.error().message;
}

struct Refused {
  const char* name;
  std::string body;
  const char* says;  ///< part of the message
};

void check_refused(std::span<const Refused> rows, std::string_view type = "") {
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK_THAT(refusal(row.body, type), Catch::Contains(row.says));
  }
}

}  // namespace

TEST_CASE("an image manifest") {
  const auto manifest = parse(image(R"(,"annotations":{"a":"b"})"), kImageManifestType);
  REQUIRE(manifest);
  CHECK(manifest->kind == ManifestKind::image);
  CHECK(manifest->media_type == kImageManifestType);
  CHECK(manifest->config_media_type == "application/vnd.oci.image.config.v1+json");
  CHECK(manifest->artifact_type == manifest->config_media_type);
  CHECK_FALSE(manifest->subject);
  CHECK(manifest->annotations == R"({"a":"b"})");
  CHECK(manifest->platforms.empty());
  REQUIRE(manifest->children.size() == 2);
  CHECK(manifest->children[0].kind == EdgeKind::config);
  CHECK(manifest->children[0].digest_text == digest('c'));
  CHECK(manifest->children[0].digest == Digest::parse(digest('c')).value());
  CHECK(manifest->children[0].size == 7);
  CHECK(manifest->children[1].kind == EdgeKind::layer);
  CHECK(manifest->children[1].media_type == "application/vnd.oci.image.layer.v1.tar+gzip");
  CHECK_FALSE(manifest->children[1].may_be_missing);
}

TEST_CASE("the media type is decided by Content-Type, mediaType and shape, in that order") {
  struct Row {
    const char* name;
    std::string content_type;
    std::string body;
    std::string_view type;  ///< empty: refused
  };
  const Row rows[] = {
      {"Content-Type alone", std::string(kImageManifestType), image(), kImageManifestType},
      {"upper case and parameters", "Application/vnd.OCI.image.manifest.v1+json; charset=utf-8", image(),
       kImageManifestType},
      {"both agree", std::string(kImageManifestType), image(named(kImageManifestType)), kImageManifestType},
      {"index", std::string(kImageIndexType), index(), kImageIndexType},
      {"docker manifest", std::string(kDockerManifestType), image(named(kDockerManifestType)), kDockerManifestType},
      {"docker list", std::string(kDockerManifestListType), index(named(kDockerManifestListType)),
       kDockerManifestListType},
      {"mediaType alone", "", image(named(kDockerManifestType)), kDockerManifestType},
      {"octet-stream", "application/octet-stream", index(named(kImageIndexType)), kImageIndexType},
      {"json", "application/json; charset=utf-8", image(named(kImageManifestType)), kImageManifestType},
      {"shape of an image", "", image(), kImageManifestType},
      {"shape of an image, json", "application/json", image(), kImageManifestType},
      {"shape of an index", "", index(), kImageIndexType},
      {"null mediaType is none", "", image(R"(,"mediaType":null)"), kImageManifestType},

      {"they differ", std::string(kImageManifestType), image(named(kDockerManifestType)), ""},
      {"image called an index by the header", std::string(kImageIndexType), image(named(kImageManifestType)), ""},
      {"image sent as an index", std::string(kImageIndexType), image(), ""},
      {"index sent as an image", std::string(kImageManifestType), index(), ""},
      {"mediaType in another case", std::string(kImageManifestType),
       image(named("application/vnd.OCI.image.manifest.v1+json")), ""},
      {"mediaType with a parameter", "", image(named(std::string(kImageManifestType) + ";a=b")), ""},
      {"docker manifest without mediaType", std::string(kDockerManifestType), image(), ""},
      {"docker list without mediaType", std::string(kDockerManifestListType), index(), ""},
      {"shape of both", "", image(R"(,"manifests":[])"), ""},
      {"shape of neither", "", R"({"schemaVersion":2})", ""},
      {"unknown header", "application/vnd.example+json", image(), ""},
      {"text", "text/plain", image(), ""},
      {"two types in the header", "application/json, application/json", image(), ""},
      {"unknown mediaType", "", image(named("application/vnd.example+json")), ""},
      {"artifact manifest by default", std::string(kArtifactManifestType),
       R"({"mediaType":")" + std::string(kArtifactManifestType) + R"("})", ""},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto manifest = parse(row.body, row.content_type);
    CHECK(manifest.has_value() == !row.type.empty());
    if (manifest) {
      CHECK(manifest->media_type == row.type);
    } else {
      CHECK(manifest.error().code == ErrorCode::manifest_invalid);
    }
  }
  CHECK_THAT(refusal(image(), "application/vnd.example+json"), Catch::Contains("application/vnd.example+json"));
  // A header that is no media type is not repeated to the client.
  CHECK_THAT(refusal(image(), "a\"b\x01"), !Catch::Contains("\x01") && Catch::Contains("malformed"));
}

TEST_CASE("schema 1 is refused by its type or its version") {
  const std::string old = R"({"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[]})";
  for (const std::string_view type :
       {kSchema1, std::string_view("application/vnd.docker.distribution.manifest.v1+json")}) {
    CHECK_THAT(refusal(old, type), Catch::Contains("schema version 1"));
    CHECK_THAT(refusal("not even JSON", type), Catch::Contains("schema version 1"));
    CHECK_THAT(refusal(image(named(type))), Catch::Contains("schema version 1"));
  }
  for (const std::string_view type : {std::string_view(""), std::string_view("application/json"), kImageManifestType}) {
    CHECK_THAT(refusal(old, type), Catch::Contains("schema version 1"));
  }
}

TEST_CASE("shape") {
  const Refused rows[] = {
      {"no schemaVersion", R"({"config":)" + kConfig + R"(,"layers":[]})", "schemaVersion must be 2"},
      {"schemaVersion 3", R"({"schemaVersion":3,"config":)" + kConfig + R"(,"layers":[]})", "schemaVersion must be 2"},
      {"schemaVersion as text", R"({"schemaVersion":"2","config":)" + kConfig + R"(,"layers":[]})",
       "schemaVersion must be an integer"},
      {"schemaVersion as a fraction", R"({"schemaVersion":2.0,"config":)" + kConfig + R"(,"layers":[]})",
       "schemaVersion must be an integer"},
      {"schemaVersion with exponent", R"({"schemaVersion":2e0,"config":)" + kConfig + R"(,"layers":[]})",
       "schemaVersion must be an integer"},
      {"image without config", R"({"schemaVersion":2,"layers":[]})", "must have a config"},
      {"image with a null config", R"({"schemaVersion":2,"config":null,"layers":[]})", "must have a config"},
      {"image without layers", R"({"schemaVersion":2,"config":)" + kConfig + "}", "must have layers"},
      {"config is text", R"({"schemaVersion":2,"config":"x","layers":[]})", "config must be an object"},
      {"config is an array", R"({"schemaVersion":2,"config":[],"layers":[]})", "config must be an object"},
      {"layers is an object", R"({"schemaVersion":2,"config":)" + kConfig + R"(,"layers":{}})",
       "layers must be an array"},
      {"a layer is text", image("", R"(["x"])"), "layers[0] must be an object"},
      {"a layer is null", image("", "[" + kLayer + ",null]"), "layers[1] must be an object"},
      {"a layer is an array", image("", "[" + kLayer + "," + kLayer + ",[]]"), "layers[2] must be an object"},
      {"manifests is text", R"({"schemaVersion":2,"manifests":"x"})", "manifests must be an array"},
      {"image with fsLayers", image(R"(,"fsLayers":[])"), "must not have fsLayers"},
      {"index with fsLayers", index(R"(,"fsLayers":null)"), "must not have fsLayers"},
      {"subject is text", image(R"(,"subject":"x")"), "subject must be an object"},
      {"artifactType is a number", image(R"(,"artifactType":1)"), "artifactType must be a string"},
      {"artifactType is no media type", image(R"(,"artifactType":"sbom")"), "artifactType must be a media type"},
      {"mediaType is an object", image(R"(,"mediaType":{})"), "mediaType must be a string"},
  };
  check_refused(rows);

  // One text that is two things (CVE-2021-41190).
  CHECK_THAT(refusal(image(R"(,"manifests":[])"), kImageManifestType), Catch::Contains("must not have manifests"));
  CHECK_THAT(refusal(image(R"(,"manifests":null)"), kImageManifestType), Catch::Contains("must not have manifests"));
  CHECK_THAT(refusal(index(R"(,"layers":[])"), kImageIndexType), Catch::Contains("must not have layers"));
  CHECK_THAT(refusal(index(R"(,"config":null)"), kImageIndexType), Catch::Contains("must not have config"));
}

TEST_CASE("empty and null lists") {
  CHECK(parse(image("", "[]")).value().children.size() == 1);
  CHECK(parse(image("", "null")).value().children.size() == 1);
  CHECK(parse(index()).value().children.empty());
  CHECK(parse(index("", "null")).value().children.empty());
  CHECK(parse(image(R"(,"subject":null,"annotations":null,"artifactType":null)")).value().annotations == std::nullopt);
}

TEST_CASE("what is not known is let through") {
  const std::string layer =
      descriptor("application/x-made-up", '2', R"(,"x":{"y":[1,-2,3.5,true,null,"z",{}]},"platform":{"q":1})");
  CHECK(parse(image(R"(,"x":[[]],"blobs":"anything","history":{},"artifactType":"a/b")", "[" + layer + "]")));
  CHECK(parse(index(R"(,"blobs":[1])")));
}

TEST_CASE("descriptors") {
  const std::string type = R"("mediaType":"a/b")";
  const std::string hash = R"("digest":")" + digest('1') + '"';
  const std::string size = R"("size":7)";
  const auto with = [&](const std::string& members) {
    return image_of("{" + type + "," + hash + "," + size + "," + members + "}");
  };
  const auto sized = [&](const std::string& number) {
    return image_of("{" + type + "," + hash + R"(,"size":)" + number + "}");
  };
  const auto hashed = [&](const std::string& text) {
    return image_of("{" + type + R"(,"digest":")" + text + "\"," + size + "}");
  };
  const auto typed = [&](const std::string& text) {
    return image_of(R"({"mediaType":)" + text + "," + hash + "," + size + "}");
  };

  const Refused rows[] = {
      {"empty", image_of("{}"), "layers[0] has no mediaType"},
      {"no mediaType", image_of("{" + hash + "," + size + "}"), "layers[0] has no mediaType"},
      {"no digest", image_of("{" + type + "," + size + "}"), "layers[0] has no digest"},
      {"no size", image_of("{" + type + "," + hash + "}"), "layers[0] has no size"},
      {"null mediaType", typed("null"), "layers[0] has no mediaType"},
      {"null size", sized("null"), "layers[0] has no size"},
      {"mediaType is a number", typed("1"), "layers[0].mediaType must be a string"},
      {"mediaType is empty", typed(R"("")"), "layers[0].mediaType must be a media type"},
      {"mediaType without a slash", typed(R"("tar")"), "layers[0].mediaType must be a media type"},
      {"mediaType too long", typed('"' + std::string(128, 'a') + R"(/b")"), "layers[0].mediaType must be a media type"},
      {"digest is a number", image_of("{" + type + R"(,"digest":1,)" + size + "}"),
       "layers[0].digest must be a string"},
      {"digest without a colon", hashed("abc"), "layers[0].digest is not a digest"},
      {"digest is empty", hashed(""), "layers[0].digest is not a digest"},
      {"digest too short", hashed("sha256:00"), "layers[0].digest is not a digest"},
      {"digest in upper case", hashed("sha256:" + std::string(64, 'A')), "layers[0].digest is not a digest"},
      {"digest with a path", hashed("sha256:../x"), "layers[0].digest is not a digest"},
      {"negative size", sized("-1"), "layers[0].size must be an integer"},
      {"minus zero", sized("-0"), "layers[0].size must be an integer"},
      {"size with a fraction", sized("7.0"), "layers[0].size must be an integer"},
      {"size with an exponent", sized("7e0"), "layers[0].size must be an integer"},
      {"size 2^63", sized("9223372036854775808"), "layers[0].size must be an integer"},
      {"size 2^64", sized("18446744073709551616"), "layers[0].size must be an integer"},
      {"huge size", sized(std::string(400, '9')), "not valid JSON"},
      {"size as text", sized(R"("7")"), "layers[0].size must be an integer"},
      {"size is true", sized("true"), "layers[0].size must be an integer"},
      {"size is an array", sized("[]"), "layers[0].size must be an integer"},
      {"data is no base64", with(R"("data":"a")"), "layers[0].data must be base64"},
      {"data of another alphabet", with(R"("data":"a-_=")"), "layers[0].data must be base64"},
      {"data padded in the middle", with(R"("data":"a=bc")"), "layers[0].data must be base64"},
      {"data is padding", with(R"("data":"====")"), "layers[0].data must be base64"},
      {"data with a newline", with(R"("data":"YWI\n")"), "layers[0].data must be base64"},
      {"data is a number", with(R"("data":1)"), "layers[0].data must be a string"},
      {"urls is text", with(R"("urls":"http://a")"), "layers[0].urls must be an array"},
      {"a url is null", with(R"("urls":["http://a",null])"), "layers[0].urls[1] must be a string"},
      {"annotations is an array", with(R"("annotations":[])"), "layers[0].annotations must be an object"},
      {"annotation is a number", with(R"("annotations":{"a":1})"), "layers[0].annotations must hold strings"},
      {"platform is text", with(R"("platform":"linux")"), "layers[0].platform must be an object"},
      {"os is a number", with(R"("platform":{"os":1})"), "layers[0].platform.os must be a string"},
      {"artifactType is no media type", with(R"("artifactType":"x")"), "layers[0].artifactType must be a media type"},
      {"config's digest", R"({"schemaVersion":2,"layers":[],"config":{"mediaType":"a/b","digest":"x","size":1}})",
       "config.digest is not a digest"},
      {"subject's size", image(R"(,"subject":{"mediaType":"a/b","digest":"a:b","size":1.5})"),
       "subject.size must be an integer"},
      {"subject without a digest", image(R"(,"subject":{"mediaType":"a/b","size":1})"), "subject has no digest"},
      {"an index child", index("", "[" + kLayer + ",{}]"), "manifests[1] has no mediaType"},
  };
  check_refused(rows);

  CHECK(parse(sized("0")).value().children[1].size == 0);
  CHECK(parse(sized("9223372036854775807")).value().children[1].size == 9223372036854775807U);
  CHECK(parse(with(R"("data":"")")));
  CHECK(parse(with(R"("data":"YQ==")")));
  CHECK(parse(with(R"("data":"YWI=")")));
  CHECK(parse(with(R"("data":"YW+/")")));
  CHECK(parse(with(R"("data":null,"urls":null,"platform":null,"annotations":null,"artifactType":"")")));
}

TEST_CASE("urls of descriptors") {
  const auto with_url = [](const std::string& url) {
    return image_of(descriptor("a/b", '1', R"(,"urls":[")" + url + R"("])"));
  };
  for (const char* url :
       {"http://a", "https://a.example:8443/x?y=z", "HTTPS://a/", "https://[::1]/a", "https://a/@b", "https://a?x@y"}) {
    INFO(url);
    CHECK(parse(with_url(url)));
  }
  for (const char* url : {"",
                          "a",
                          "ftp://a",
                          "file:///etc/passwd",
                          "//a",
                          "http:a",
                          "http:/a",
                          "http://",
                          "https:///a",
                          "https://?a",
                          "https://:80/",
                          "https://user@a/",
                          "https://user:secret@a/",
                          "https://a/#b",
                          "https://a#b",
                          "https://a b/",
                          "https://a\\\\@b/",
                          "javascript:alert(1)",
                          "http\\u017f://a",
                          "https://a/\\n",
                          "https://a/\\u0000",
                          " https://a"}) {
    INFO(url);
    CHECK_THAT(refusal(with_url(url)), Catch::Contains("layers[0].urls[0] must be an http or https URL"));
  }
}

TEST_CASE("layers that may be missing") {
  struct Row {
    const char* name;
    const char* type;
    const char* extra;
    bool may_be_missing;
  };
  const char* const kUrls = R"(,"urls":["https://a/b"])";
  const Row rows[] = {
      {"docker foreign", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", kUrls, true},
      {"oci plain", "application/vnd.oci.image.layer.nondistributable.v1.tar", kUrls, true},
      {"oci gzip", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", kUrls, true},
      {"oci zstd", "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", kUrls, true},
      {"no urls", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "", false},
      {"empty urls", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", R"(,"urls":[])", false},
      {"a normal layer with urls", "application/vnd.oci.image.layer.v1.tar+gzip", kUrls, false},
      {"data does not replace the blob", "application/vnd.oci.image.layer.v1.tar", R"(,"data":"YQ==")", false},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(parse(image_of(descriptor(row.type, '1', row.extra))).value().children.at(1).may_be_missing ==
          row.may_be_missing);
  }
  // Neither a config nor an index child may be missing, whatever its type.
  const std::string foreign = descriptor(rows[0].type, '1', kUrls);
  CHECK_FALSE(parse(R"({"schemaVersion":2,"layers":[],"config":)" + foreign + "}").value().children[0].may_be_missing);
  CHECK_FALSE(parse(index("", "[" + foreign + "]")).value().children[0].may_be_missing);
  // Two mentions of one layer: the one that needs it wins, in any order.
  const std::string normal = descriptor("a/b", '1');
  CHECK_FALSE(parse(image("", "[" + foreign + "," + normal + "]")).value().children.at(1).may_be_missing);
  CHECK_FALSE(parse(image("", "[" + normal + "," + foreign + "]")).value().children.at(1).may_be_missing);
}

TEST_CASE("children keep the order of the document, once each") {
  const std::string a = descriptor("a/b", 'a');
  const std::string b = descriptor("a/b", 'b');
  const auto manifest =
      parse(R"({"layers":[)" + b + "," + a + "," + b + R"(],"schemaVersion":2,"config":)" + a + "}").value();
  REQUIRE(manifest.children.size() == 3);
  CHECK(manifest.children[0].digest_text == digest('b'));
  CHECK(manifest.children[1].digest_text == digest('a'));
  CHECK(manifest.children[1].kind == EdgeKind::layer);
  CHECK(manifest.children[2].digest_text == digest('a'));
  CHECK(manifest.children[2].kind == EdgeKind::config);
}

TEST_CASE("digests of algorithms that berth does not know stay text") {
  const std::string child = R"({"mediaType":"a/b","digest":"blake3:abc","size":1})";
  const auto manifest = parse(image(R"(,"subject":)" + child, "[" + child + "]")).value();
  CHECK(manifest.children.at(1).digest_text == "blake3:abc");
  CHECK_FALSE(manifest.children[1].digest);
  CHECK(manifest.subject == "blake3:abc");
}

TEST_CASE("children of an index") {
  struct Row {
    std::string_view type;
    EdgeKind kind;
  };
  const Row rows[] = {
      {kImageManifestType, EdgeKind::manifest},
      {kImageIndexType, EdgeKind::manifest},
      {kDockerManifestType, EdgeKind::manifest},
      {kDockerManifestListType, EdgeKind::manifest},
      {kArtifactManifestType, EdgeKind::manifest},
      {kSchema1, EdgeKind::manifest},
      {"application/vnd.oci.image.layer.v1.tar+gzip", EdgeKind::content},
      {"application/vnd.buildkit.cacheconfig.v0", EdgeKind::content},
  };
  for (const auto& row : rows) {
    INFO(row.type);
    CHECK(parse(index("", "[" + descriptor(row.type, '1') + "]")).value().children.at(0).kind == row.kind);
  }
}

TEST_CASE("the artifact type that the referrers list shows") {
  CHECK(parse(image(R"(,"artifactType":"a/own")")).value().artifact_type == "a/own");
  CHECK(parse(image(R"(,"artifactType":"")")).value().artifact_type == "application/vnd.oci.image.config.v1+json");
  CHECK(parse(image()).value().artifact_type == "application/vnd.oci.image.config.v1+json");
  CHECK(parse(index(R"(,"artifactType":"a/own")")).value().artifact_type == "a/own");
  CHECK(parse(index()).value().artifact_type.empty());
  CHECK(parse(index()).value().config_media_type.empty());
}

TEST_CASE("annotations are kept whole") {
  struct Row {
    const char* name;
    const char* written;
    const char* kept;
  };
  const Row rows[] = {
      {"none", "{}", "{}"},
      {"blanks go, order stays", R"({ "b" : "2" , "a" : "1" })", R"({"b":"2","a":"1"})"},
      {"empty key and value", R"({"":""})", R"({"":""})"},
      {"escapes", R"({"a\n\"\\":"\u0000\u001f\/"})", R"({"a\n\"\\":"\u0000\u001f/"})"},
      {"other scripts", R"({"k":"\u00e9 \ud83d\ude00"})", "{\"k\":\"\xc3\xa9 \xf0\x9f\x98\x80\"}"},
      {"names of members", R"({"mediaType":"x","Layers":"y","digest":"z"})",
       R"({"mediaType":"x","Layers":"y","digest":"z"})"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto manifest = parse(image(std::string(R"(,"annotations":)") + row.written)).value();
    CHECK(manifest.annotations == row.kept);
    CHECK(nlohmann::json::parse(row.written) == nlohmann::json::parse(*manifest.annotations));
  }
  const Refused refused[] = {
      {"number", image(R"(,"annotations":{"a":1})"), "annotations must hold strings"},
      {"null", image(R"(,"annotations":{"a":null})"), "annotations must hold strings"},
      {"object", image(R"(,"annotations":{"a":{}})"), "annotations must hold strings"},
      {"array of them", image(R"(,"annotations":["a"])"), "annotations must be an object"},
      {"text", image(R"(,"annotations":"a")"), "annotations must be an object"},
  };
  check_refused(refused);
  // Those of descriptors are checked and not kept.
  const std::string layer = descriptor("a/b", '1', R"(,"annotations":{"a":"b"})");
  CHECK_FALSE(parse(image_of(layer)).value().annotations);
}

TEST_CASE("the platforms of an index, for people") {
  const auto child = [](char digit, const std::string& platform) {
    return descriptor(kImageManifestType, digit, platform.empty() ? "" : R"(,"platform":)" + platform);
  };
  const auto summary = [](const std::string& manifests) {
    return parse(index("", "[" + manifests + "]")).value().platforms;
  };
  CHECK(summary(child('1', R"({"os":"linux","architecture":"amd64"})") + "," +
                child('2', R"({"architecture":"arm64","variant":"v8","os":"linux","os.features":["x"]})")) ==
        "linux/amd64,linux/arm64/v8");
  CHECK(summary(child('1', R"({"os":"linux","architecture":"amd64"})") + "," +
                child('2', R"({"os":"linux","architecture":"amd64"})")) == "linux/amd64");
  CHECK(summary(child('1', R"({"os":"unknown","architecture":"unknown"})") + "," + child('2', "")).empty());
  CHECK(summary(child('1', R"({"os":"a b","architecture":"\u001b[31m"})")).empty());
  CHECK(summary(child('1', R"({"os":"linux"})")).empty());
  CHECK(parse(index(named(kDockerManifestListType), "[" + child('1', "") + "]"), kDockerManifestListType));

  std::string many;
  for (int i = 0; i < 300; ++i) {
    if (i > 0) many += ',';
    many += child('1', R"({"os":"linux","architecture":"a)" + std::to_string(i) + R"("})");
  }
  const std::string bounded = summary(many);
  CHECK(bounded.size() <= 1024);
  CHECK(bounded.size() > 1000);
  CHECK(bounded.back() != ',');
}

TEST_CASE("keys must be unambiguous") {
  const Refused rows[] = {
      {"twice at the top", image(R"(,"layers":[])"), "the document has the key \"layers\" twice"},
      {"twice, unknown", image(R"(,"x":1,"y":2,"x":1)"), "the document has the key \"x\" twice"},
      {"twice by an escape", image(R"(,"x":1,"\u0078":1)"), "the document has the key \"x\" twice"},
      {"twice in a descriptor", image_of(descriptor("a/b", '1', R"(,"size":8)")),
       "layers[0] has the key \"size\" twice"},
      {"twice in annotations", image(R"(,"annotations":{"a":"1","a":"2"})"), "annotations has the key \"a\" twice"},
      {"twice deep in unknown members", image(R"(,"x":[{"y":{"z":1,"z":2}}])"), "has the key \"z\" twice"},
      {"twice, a long key", image(",\"" + std::string(99, 'k') + "\":1,\"" + std::string(99, 'k') + "\":1"),
       "has a key twice"},
      {"the empty key twice", image(R"(,"":1,"":2)"), "has the key \"\" twice"},
      {"Layers", image(R"(,"Layers":[])"), "the document has a key that differs from \"layers\" by case only"},
      {"LAYERS alone", R"({"schemaVersion":2,"config":)" + kConfig + R"(,"LAYERS":[]})",
       "differs from \"layers\" by case"},
      {"mediatype", image(R"(,"mediatype":"a/b")"), "differs from \"mediaType\" by case"},
      {"MANIFESTS in an image", image(R"(,"MANIFESTS":[])"), "differs from \"manifests\" by case"},
      {"FSLayers", image(R"(,"FSLayers":[])"), "differs from \"fsLayers\" by case"},
      {"Digest in a descriptor", image_of(descriptor("a/b", '1', R"(,"Digest":"x")")),
       "layers[0] has a key that differs from \"digest\" by case only"},
      {"SIZE in the subject", image(R"(,"subject":)" + descriptor("a/b", '1', R"(,"SIZE":1)")),
       "subject has a key that differs from \"size\""},
      {"OS in a platform", index("", "[" + descriptor("a/b", '1', R"(,"platform":{"OS":"x"})") + "]"),
       "manifests[0].platform has a key that differs from \"os\""},
      {"the long s folds to s", image("", "[]").insert(1, "\"layer\xc5\xbf\":[],"), "differs from \"layers\" by case"},
      {"the long s by an escape", image(R"(,"manifest\u017f":[])"), "differs from \"manifests\" by case"},
  };
  check_refused(rows);
  // The same names where they mean nothing are no one's business.
  CHECK(parse(image(R"(,"x":{"Layers":1,"layers":2},"annotations":{"Size":"1","size":"2"})")));
  CHECK(parse(image(R"(,"Digest":1,"layer":1,"layerss":1)")));
}

TEST_CASE("JSON that readers disagree about is refused") {
  const std::string good = image();
  const Refused rows[] = {
      {"empty", "", "is empty"},
      {"blank", " ", "not valid JSON"},
      {"array", "[" + good + "]", "one JSON object"},
      {"text", R"("x")", "one JSON object"},
      {"number", "2", "one JSON object"},
      {"null", "null", "one JSON object"},
      {"byte order mark", "\xef\xbb\xbf" + good, "byte order mark"},
      {"UTF-16", std::string("\xff\xfe{\0}\0", 6), "zero byte"},
      {"trailing garbage", good + "x", "not valid JSON"},
      {"a second object", good + good, "not valid JSON"},
      {"a trailing comma", image(","), "not valid JSON"},
      {"a zero byte behind", good + std::string(1, '\0'), "zero byte"},
      {"a zero byte and a second object", good + std::string(1, '\0') + good, "zero byte"},
      {"a comment", "/* */" + good, "not valid JSON"},
      {"cut off", good.substr(0, good.size() - 1), "not valid JSON"},
      {"cut off in a text", R"({"a)", "not valid JSON"},
      {"NaN", image(R"(,"x":NaN)"), "not valid JSON"},
      {"Infinity", image(R"(,"x":-Infinity)"), "not valid JSON"},
      {"a number beyond all bounds", image(R"(,"x":1e999)"), "not valid JSON"},
      {"leading zero", image(R"(,"x":01)"), "not valid JSON"},
      {"hexadecimal", image(R"(,"x":0x1)"), "not valid JSON"},
      {"plus sign", image(R"(,"x":+1)"), "not valid JSON"},
      {"single quotes", image(R"(,'x':1)"), "not valid JSON"},
      {"key without quotes", image(R"(,x:1)"), "not valid JSON"},
      {"True", image(R"(,"x":True)"), "not valid JSON"},
      {"control byte in a text", image(",\"x\":\"a\x01\""), "not valid JSON"},
      {"newline in a text", image(",\"x\":\"a\n\""), "not valid JSON"},
      {"unknown escape", image(R"(,"x":"\x41")"), "not valid JSON"},
      {"lone high surrogate", image(R"(,"x":"\ud800")"), "not valid JSON"},
      {"lone low surrogate", image(R"(,"x":"\udc00")"), "not valid JSON"},
      {"surrogates in the wrong order", image(R"(,"x":"\udc00\ud800")"), "not valid JSON"},
      {"high surrogate and a letter", image(R"(,"x":"\ud800a")"), "not valid JSON"},
      {"surrogate in UTF-8", image(",\"x\":\"\xed\xa0\x80\""), "not valid JSON"},
      {"overlong", image(",\"x\":\"\xc0\xaf\""), "not valid JSON"},
      {"overlong, three bytes", image(",\"x\":\"\xe0\x80\xaf\""), "not valid JSON"},
      {"beyond Unicode", image(",\"x\":\"\xf4\x90\x80\x80\""), "not valid JSON"},
      {"Latin-1", image(",\"x\":\"\xe9\""), "not valid JSON"},
      {"lone continuation", image(",\"x\":\"\x80\""), "not valid JSON"},
      {"invalid UTF-8 in a key", image(",\"\xff\":1"), "not valid JSON"},
  };
  check_refused(rows);
  CHECK(parse("\n\t\r " + good + " \n"));
}

TEST_CASE("depth is counted and a hostile document costs nothing") {
  const auto nested = [](std::size_t depth) {  // the outermost object is the first level
    return image(R"(,"x":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']'));
  };
  const ManifestLimits limits;
  CHECK(parse(nested(limits.depth_max)));
  CHECK_THAT(refusal(nested(limits.depth_max + 1)), Catch::Contains("deeper than 32 levels"));
  CHECK_THAT(refusal(std::string(4 << 20, '[')), Catch::Contains("one JSON object"));
  CHECK_THAT(refusal(R"({"x":)" + std::string(4 << 20, '[')), Catch::Contains("deeper than 32 levels"));
  std::string objects;
  for (int i = 0; i < 500000; ++i) objects += R"({"x":)";
  CHECK_THAT(refusal(objects), Catch::Contains("deeper than 32 levels"));
}

TEST_CASE("the number of descriptors is bounded") {
  const auto with_layers = [](std::size_t count) {
    std::string layers;
    for (std::size_t i = 0; i < count; ++i) layers += (i == 0 ? "" : ",") + kLayer;
    return image("", "[" + layers + "]");
  };
  CHECK(parse(with_layers(999)).value().children.size() == 2);  // with the config 1000, and two different ones
  CHECK_THAT(refusal(with_layers(1000)), Catch::Contains("more than 1000 descriptors"));
  ManifestLimits few;
  few.descriptors_max = 2;
  CHECK(parse(with_layers(1), "", few));
  CHECK_THAT(refusal(image(R"(,"subject":)" + kLayer), "", few), Catch::Contains("more than 2 descriptors"));
}

TEST_CASE("a manifest of nearly 4 MB of annotations is read") {
  std::string annotations;
  while (annotations.size() < 3900000) {
    annotations += (annotations.empty() ? "" : ",") + ('"' + std::to_string(annotations.size())) + R"(":"value")";
  }
  const auto manifest = parse(image(R"(,"annotations":{)" + annotations + "}"));
  REQUIRE(manifest);
  CHECK(manifest->annotations->size() == annotations.size() + 2);
}

TEST_CASE("artifact manifests are read when the switch is on") {
  ManifestLimits limits;
  limits.accept_artifact_manifest = true;
  const std::string type = R"({"mediaType":")" + std::string(kArtifactManifestType) + '"';
  const std::string body = type + R"(,"artifactType":"a/sbom","blobs":[)" + kLayer + R"(],"subject":)" + kConfig + "}";
  for (const std::string_view sent : {kArtifactManifestType, std::string_view("")}) {
    const auto manifest = parse(body, sent, limits);
    REQUIRE(manifest);
    CHECK(manifest->kind == ManifestKind::artifact);
    CHECK(manifest->artifact_type == "a/sbom");
    CHECK(manifest->subject == digest('c'));
    REQUIRE(manifest->children.size() == 1);
    CHECK(manifest->children[0].kind == EdgeKind::layer);
  }
  CHECK(parse(type + "}", kArtifactManifestType, limits));
  CHECK_THAT(refusal(type + R"(,"layers":[]})", kArtifactManifestType, limits),
             Catch::Contains("must not have layers"));
  CHECK_THAT(refusal(type + R"(,"blobs":[{}]})", kArtifactManifestType, limits),
             Catch::Contains("blobs[0] has no mediaType"));
  CHECK_THAT(refusal(type + R"(,"schemaVersion":3})", kArtifactManifestType, limits), Catch::Contains("schemaVersion"));
  CHECK_THAT(refusal(body, kArtifactManifestType), Catch::Contains("are not accepted"));
  // Blobs of another document stay an unknown member.
  CHECK(parse(image(R"(,"blobs":[1])"), kImageManifestType, limits).value().children.size() == 2);
  CHECK(parse(image(R"(,"blobs":[)" + descriptor("a/b", 'e') + "]"), "", limits).value().children.size() == 2);
}

TEST_CASE("the descriptor of a referrer") {
  const Digest of = sha256("abc");
  const auto show = [&of](const std::string& body) { return referrer_descriptor(parse(body).value(), of, 42); };
  const std::string hash = of.to_string();
  CHECK(show(image(R"(,"artifactType":"a/own","annotations":{"k":"\"v\""},"x":1)")) ==
        R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","size":42,"digest":")" + hash +
            R"(","artifactType":"a/own","annotations":{"k":"\"v\""}})");
  CHECK(show(image()) == R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","size":42,"digest":")" + hash +
                             R"(","artifactType":"application/vnd.oci.image.config.v1+json"})");
  CHECK(show(index()) ==
        R"({"mediaType":"application/vnd.oci.image.index.v1+json","size":42,"digest":")" + hash + R"("})");
  CHECK(nlohmann::json::accept(show(image(R"(,"annotations":{"\u2028":"\u0000\u0085"})"))));
}

}  // namespace berth::oci
