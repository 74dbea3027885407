//! The words that the phrases are made of.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a word does in a phrase about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    // Signs.
    Stop,
    Quote,
    Bracket,
    Colon,
    Slash,

    // Words that say nothing here.
    Unknown,
    UnknownHan,
    Number,
    /// A token that a word like this owns is not ours.
    Foreign,
    /// What a token has: `token type`, `token length`.
    Thing,
    /// The whole message is about something else.
    Veto,

    // Names of the credential.
    Token,
    AccessToken,
    /// `tokenexpired`, written in one.
    DeadToken,
    Credential,
    /// A credential only when a word before says so.
    Voucher,
    Grant,
    Login,
    /// Before a name: `access token`, `bearer token`.
    Access,

    // Words around names.
    The,
    /// `provided`: an article before a name, a predicate after it.
    Given,
    User,
    Request,
    Param,
    Header,
    /// `token value`, 登录状态.
    Part,
    Of,
    In,
    For,
    Or,
    If,
    Please,
    /// May stand before a phrase: `unauthorized token expired`.
    Lead,

    // Predicates and their helpers.
    Is,
    Expired,
    Invalid,
    Wrong,
    Error,
    Missing,
    /// Before a name only: `no token`.
    Lack,
    /// After a name only: `token required`.
    Absent,
    Empty,
    Timeout,
    Good,
    Not,
    Must,
    Cannot,
    Longer,
    Check,
    Fail,

    // Being logged out.
    LoggedOut,
    Relogin,
    Log,
    Again,
}

/// The class of a word in lower case.
pub(super) fn latin(word: &str) -> Class {
    match WORDS.get(word) {
        Some(class) => *class,
        None if word.bytes().all(|byte| byte.is_ascii_digit()) => Class::Number,
        None => Class::Unknown,
    }
}

/// The longest Chinese term that `text` begins with: its length in bytes and its class.
pub(super) fn han_term(text: &str) -> Option<(usize, Class)> {
    let terms = TERMS.get(&text.chars().next()?)?;
    let (term, class) = terms.iter().find(|(term, _)| text.starts_with(term))?;
    Some((term.len(), *class))
}

/// A class and its words.
type Entry = (Class, &'static str);

static WORDS: LazyLock<HashMap<&str, Class>> = LazyLock::new(|| all(LATIN).collect());

/// By the first character, the longest first.
static TERMS: LazyLock<HashMap<char, Vec<(&str, Class)>>> = LazyLock::new(|| {
    let mut terms = HashMap::<_, Vec<_>>::new();
    for (term, class) in all(HAN) {
        terms.entry(term.chars().next().unwrap_or_default()).or_default().push((term, class));
    }
    for list in terms.values_mut() {
        list.sort_by_key(|(term, _)| Reverse(term.len()));
    }
    terms
});

fn all(entries: &'static [Entry]) -> impl Iterator<Item = (&'static str, Class)> {
    let words = |(class, words): &'static Entry| words.split(' ').map(|word| (word, *class));
    entries.iter().flat_map(words)
}

/// English words, in lower case.
const LATIN: &[Entry] = &[
    (Class::Token, "token"),
    (Class::AccessToken, "accesstoken authtoken jwt"),
    (Class::DeadToken, "tokenexpired tokeninvalid invalidtoken expiredtoken"),
    (Class::Credential, "credential credentials"),
    (Class::Grant, "authorization authorisation authentication auth"),
    (Class::Login, "login session"),
    (Class::Access, "access bearer oauth oauth2 security identity tenant app"),
    (Class::The, "the a an your this that my our current"),
    (Class::Given, "provided supplied given specified"),
    (Class::User, "you user users client"),
    (Class::Request, "request requests api http query url"),
    (Class::Param, "parameter parameters param params field argument arg"),
    (Class::Header, "header headers"),
    (Class::Part, "value string state info information"),
    (Class::Of, "of"),
    (Class::In, "in from on inside within"),
    (Class::For, "for to with"),
    (Class::Or, "or and nor"),
    (Class::If, "if when whether unless until once after before ensure how while"),
    (Class::Please, "please try hint rid reauthorize reauthenticate"),
    (
        Class::Lead,
        "unauthorized unauthorised unauthenticated forbidden denied because since \
         as due rejected sorry reason message msg",
    ),
    (
        Class::Is,
        "is are was were be been has have had already does do did now get got \
         seems appears",
    ),
    (Class::Expired, "expired expire revoked invalidated outdated stale blacklisted"),
    (Class::Invalid, "invalid illegal inactive unrecognized unrecognised"),
    (Class::Wrong, "wrong incorrect malformed"),
    (Class::Error, "error err exception mismatch mismatched"),
    (Class::Missing, "missing"),
    (Class::Lack, "no lack lacks lacking without"),
    (Class::Absent, "required absent needed"),
    (Class::Empty, "empty null blank"),
    (Class::Timeout, "timeout"),
    (
        Class::Good,
        "valid found exist exists present recognized recognised correct active \
         set match latest legal sent passed detected",
    ),
    (Class::Not, "not isnt wasnt doesnt didnt never non"),
    (Class::Must, "must should can may could shall"),
    (Class::Cannot, "cannot cant mustnt"),
    (Class::Longer, "longer"),
    (
        Class::Check,
        "verification validation verify validate validating verifying check \
         checking signature",
    ),
    (Class::Fail, "failed failure fail fails failing unsuccessful"),
    (Class::Relogin, "relogin"),
    (Class::Log, "log sign logged signed"),
    (Class::Again, "again re"),
    (
        Class::Foreign,
        "refresh push device csrf xsrf coupon reset payment pay sms captcha \
         upload page partner third invite share card id",
    ),
    (
        Class::Thing,
        "type types code name length size format count total list time date scope \
         scopes permission permissions privilege privileges claim claims limit \
         usage tokens key",
    ),
    (
        Class::Veto,
        "json xml html syntax parse parser parsing parsed position unexpected \
         lexer tokenizer rate quota bucket throttled throttling prompt completion",
    ),
];

/// Chinese terms, with the traditional forms that differ.
const HAN: &[Entry] = &[
    (Class::Token, "令牌 權杖 权杖"),
    (Class::AccessToken, "访问令牌 访问凭证 訪問令牌 存取權杖 用户凭证"),
    (Class::Voucher, "凭证 凭据 憑證 票据"),
    (Class::Grant, "授权 授權 鉴权 鑒權 身份验证 身份认证"),
    (Class::Login, "登录 登陆 登入 登錄 登录态 登陆态"),
    (Class::Access, "访问 接口调用 身份 认证"),
    (Class::The, "您的 你的 当前 该 此 本次 當前 所传 传入的"),
    (Class::User, "用户 账号 帐号 您 你 用戶"),
    (Class::Request, "请求 接口 请求中 應用 应用 請求"),
    (Class::Param, "参数 字段 必要参数 必填参数 參數"),
    (Class::Header, "请求头 头部 请求头部 消息头"),
    (Class::Part, "状态 信息 值 狀態 资讯"),
    (Class::Of, "的"),
    (Class::In, "中 里 中的 里的"),
    (Class::Or, "或 或者 和 及 与 且 并且"),
    (Class::If, "如果 若 当 是否 如"),
    (Class::Please, "请 需 需要 重新 無法 无法 导致 不能 不允许 禁止 須 請 再"),
    (Class::Lead, "未授权 未授權 由于 因为 因 无权限 拒绝访问 原因 提示"),
    (Class::Is, "已 已经 被 已被 是 都 了 均 已經 目前"),
    (
        Class::Expired,
        "过期 失效 到期 過期 吊销 撤销 注销 作废 超过有效期 超时失效 过期失效 \
         不在有效期 被顶替 被踢",
    ),
    (Class::Invalid, "无效 非法 不合法 不可用 無效 不是有效"),
    (Class::Wrong, "不正确 有误 不对 不匹配 不一致 不正確 有誤"),
    (Class::Error, "错误 錯誤 异常"),
    (Class::Missing, "缺失 丢失"),
    (
        Class::Lack,
        "缺少 未传 未传递 未携带 未提供 没有 没有携带 未带 无 未获取到 未找到 \
         未检测到 没传 少了 請提供 请提供 请携带 请传入 请传",
    ),
    (
        Class::Absent,
        "不存在 为空 不能为空 不可为空 必填 必传 不得为空 不能爲空 未传入 \
         不能缺少 為空",
    ),
    (Class::Timeout, "超时 逾時"),
    (Class::Good, "有效 正确 合法 最新"),
    (Class::Check, "验证 校验 检验 验签 签名 解析 检查 驗證"),
    (Class::Fail, "失败 不通过 未通过 失敗 出错"),
    (
        Class::LoggedOut,
        "未登录 未登陆 尚未登录 还未登录 还没有登录 没有登录 请先登录 请登录 \
         请先登陆 未登入",
    ),
    (Class::Relogin, "重新登录 重新登陆 重新登入 重新登錄 再次登录"),
    // Identity cards, authorization codes, login names: they hold a word of ours, and are others.
    (Class::UnknownHan, "身份证 授权码 授权书 登录名 登录密码 登录验证码 认证码"),
    (Class::Veto, "限流 频率 频繁 配额 额度 次数 超限 上限 頻繁"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_word_is_there_twice_or_cannot_be_met() {
        let mut seen = HashSet::new();
        for (word, _) in all(LATIN) {
            assert!(seen.insert(word), "{word}");
            assert!(word.len() <= super::super::words::MAX_LETTERS, "{word}");
            assert!(
                word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
                "{word}"
            );
        }
        for (term, _) in all(HAN) {
            assert!(seen.insert(term), "{term}");
            assert!(term.chars().all(|char| ('\u{4e00}'..='\u{9fff}').contains(&char)), "{term}");
        }
    }
}
