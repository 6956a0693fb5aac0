#include "commands.hpp"

namespace llama {

void add_model_options(CLI::App& command, HostOptions& options) {
  const char* group = "Model";
  command
      .add_option(
          "-m,--model", options.model,
          "A .gguf file, a .safetensors file with config.json beside it, or the folder of a Hugging Face model. "
          "Without it: SmolLM2-135M-Instruct from the cache folder, where examples/get_model.sh puts it.")
      ->option_text("FILE|DIR")
      ->group(group);
  command
      .add_option(
          "--tokenizer", options.tokenizer,
          "Whose tokenizer is used: a .gguf file, a tokenizer.json or tokenizer.model, a llama2.c .bin file, or a "
          "folder with one of them. Without it: the model's own.")
      ->option_text("FILE|DIR")
      ->group(group);
  command.add_option("--threads", options.threads, "Worker threads; 0: as many as the machine runs at once.")
      ->check(CLI::Range(0, 1024))
      ->option_text("N")
      ->group(group);
  command
      .add_flag("--no-amx", options.no_amx,
                "Leave AMX tiles alone where the CPU and this build have them: the same results, slower at prefill.")
      ->group(group);
}

void add_backend_option(CLI::App& command, HostOptions& options) {
  command
      .add_option_function<std::string>(
          "--backend",
          [&](const std::string& name) { options.backend = name == "cuda" ? Backend::cuda : Backend::cpu; },
          "Where blocks and head run: cpu, or cuda for the first NVIDIA GPU of a planish-llama that was built with "
          "-DPLANISH_CUDA=ON. Recipes and files are the same. [cpu]")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->option_text("cpu|cuda")
      ->group("Model");
}

void add_recipe_options(CLI::App& command, HostOptions& options) {
  const char* group = "Quantization";
  command
      .add_option(
          "--calibration-text", options.calibration_text,
          "Text from which shift, scale, static activations and gptq take their statistics: a file, or the word "
          "'sampled' for text drawn from the FP32 model itself.")
      ->option_text("FILE|sampled")
      ->group(group);
  command
      .add_option("--calibration-tokens", options.calibration_tokens,
                  "At most so many tokens of a calibration file, in windows of 512. [8192]")
      ->check(CLI::Range(index{2}, index{1} << 24))
      ->option_text("N")
      ->group(group);
  command
      .add_option(
          "--planish", options.planish,
          "An artefact made from this model: its transforms, quantizers and codes are used instead of new ones. Or "
          "parameters that FlatQuant learned for this model, as safetensors: the stage flatquant quantizes with them.")
      ->option_text("FILE")
      ->group(group);
  command
      .add_option("--alpha", options.alpha,
                  "SmoothQuant's exponent: 0 leaves activations alone, 1 evens them out completely. [0.5]")
      ->check(CLI::Range(0.0f, 1.0f))
      ->option_text("A")
      ->group(group);
  command.add_option("--seed", options.seed, "Seed of random matrices and of drawn tokens. [1]")
      ->option_text("N")
      ->group(group);
  command
      .add_option("--head-bits", options.head_bits,
                  "Bits of the output head and of its input; 16: exact, with the file's own 8-bit codes where it has "
                  "them. [16]")
      ->check(CLI::IsMember({2, 3, 4, 5, 6, 7, 8, 16}))
      ->option_text("2-8|16")
      ->group(group);
  command
      .add_flag("--fake", options.fake,
                "Simulate: quantize, dequantize, multiply in float32. Codes are the same to the bit.")
      ->group(group);
}

void add_recipe_option(CLI::App& command, std::string& recipe) {
  command
      .add_option(
          "-r,--recipe", recipe,
          "What is quantized, how and after which transforms; see RECIPES. [fp32, the artefact's, or w4a4kv4+flatquant "
          "with FlatQuant's parameters]")
      ->option_text("RECIPE")
      ->group("Quantization");
}

void add_text_options(CLI::App& command, ScoredText& options) {
  const char* group = "Text";
  command
      .add_option("-t,--text", options.text,
                  "Text to score: a file, or the word 'sampled' for text drawn from the FP32 model itself. [sampled]")
      ->option_text("FILE|sampled")
      ->group(group);
  command.add_option("-c,--context", options.context, "Tokens of a window. [512]")
      ->check(CLI::Range(2, 1 << 20))
      ->option_text("N")
      ->group(group);
  command.add_option("--tokens", options.tokens, "Score at most the first so many tokens; 0: all. [0]")
      ->option_text("N")
      ->group(group);
}

void add_json_option(CLI::App& command, std::string& path) {
  command.add_option("--json", path, "Also write the figures to this file as JSON; '-' is standard output.")
      ->option_text("FILE")
      ->group("Output");
}

}  // namespace llama
