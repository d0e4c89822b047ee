"""By what a bounce without the standard form is known: who writes one, and the words in which it says so.

Tables, each row with the systems it was seen in. Patterns are lower-case, tried on lower-case text, and linear. Nothing
here decides alone: `bounce` asks for a sign of a mail system and for words of failure.
"""

from __future__ import annotations

from core.pattern import pattern

SENDERS = pattern(
    r"mailer.?daemon|mail.?daemon|mail.?master|mdaemon|post.?master|mail.?administrator|ndr|mmdf|imss"
    r"|e500_smtp\w*|microsoftexchange[0-9a-f]*|symantec_\w+|mail.?delivery\w*"
)
"""Local parts of mail systems: sendmail, qmail, Exim, Postfix, Courier; MDaemon; Exchange; InterScan; McAfee; MMDF."""

MAYBE_SENDERS = pattern(
    r"mail.?admin\w*|mail.?(?:system|server|service|gateway|error|return)\w*|bounces?|vams|autoresponse|undeliver\w*"
    r"|delivery\w*|smtp\w*|post_?office|inetgw\d*|dsn|gateway\S*"
)
"""Local parts that gateways have, and parcel services and other senders too."""

NAMES = pattern(
    r"mail (?:delivery|system|administrator|server|transport|router|gateway)|(?:mail)? ?delivery (?:sub)?system"
    r"|mailer.?daemon"
    r"|post ?master|system ?administrator|internet mail|systemadministrator|administrateur syst|mail deliver"
    r"|non.?delivery|delivery (?:sub|status)|postmeister|microsoft outlook$|administrador del sistema"
    r"|メール配送|почтов|退信|系统管理员|系統管理員|jetmail|mail error"
)
"""Display names: Sendmail, Exim, Exchange 5.5 to 365, IMail, Netscape; Japanese, Russian and Chinese providers."""

NOT_DELIVERED = pattern(
    # Sendmail, Postfix, Exim, qmail, Courier, Gmail, Yahoo, AOL, Exchange, Notes, MDaemon, MailEnable, GroupWise.
    r"undeliver|error sending (?:your|the) |un-deliver|non.?deliver|no(?:t|n) (?:be |been |yet been "
    r"|yet )?(?:success\w* )?(?:deliver|sent to"
    r"|remis|distribu)"
    r"|(?:couldn.t|wasn.t|can.t|isn.t|cannot|hasn.t(?: yet)?|did not|didn.t|unable to|failed to|failure to"
    r"|unable to be) (?:be |been )?(?:successfully )?(?:deliver|reach|receive|sent|send|forward|complete|process)"
    r"|deliver\w* (?:status|fail|has failed|have failed|to the follow|problem|error|report|delayed|incomplete"
    r"|attempt|did not succeed|is delayed|not possible|impossible|unsuccessful|notification|warning|delay)"
    r"|(?:problem|error|fail\w*|trouble) (?:in |with |during |while )?(?:the )?(?:mail |message )?deliver"
    r"|returned mail|(?:mail|message) (?:return|bounced|rejected|blocked|error|could not|delivery|status)"
    r"|rejected (?:mail|message|by)"
    r"|failure notice|failed mail|mail (?:system )?(?:error|fail)|failed (?:recipient|address|deliver)|return(?:ed"
    r"|ing)? (?:message )?to (?:the )?sender|has been returned|being returned|message (?:was )?(?:not|delayed"
    r"|undeliv)|your message to .{1,200} (?:has|was|could|cannot)"
    r"|permanent (?:fatal )?error|transient (?:non-)?fatal|fatal error|processing error|address(?:es|\(es\))? (?:had"
    r"|has) .{0,20}(?:error|problem)|(?:was|were|is) not (?:able to )?(?:be )?(?:deliver|accept)|rejected (?:your"
    r"|the|for)|user unknown|unknown user|mailbox (?:is )?full|user's mailbox"
    r"|warning: (?:message|could not|e-?mail|mail)|(?:message|mail) .{0,30}not (?:be )?(?:deliver|sent|accept)"
    r"|sorry it didn.t work out|delivery to|following (?:address|recipient|user|error|mail|message)"
    r"|address not found|recipient (?:unknown|not)|couldn.t be (?:found|deliver)|has encountered delivery|postponed"
    # German: GMX, web.de, 1&1, T-Online, Exchange.
    r"|unzustellbar|nicht (?:zugestellt|zustellbar|ausgeliefert|übermittelt|gesendet|erreicht)|zustell\w*(?:fehl"
    r"|hindernis|benachrichtigung|versuch|bericht)|zustellung .{0,60}(?:fehlgeschlagen|nicht|verzögert)|übermittlung"
    # French: Orange, Free, La Poste, Exchange.
    r"|échec (?:de |d.)|non (?:remis|distribu|délivr)|n.a (?:pas )?(?:pu|été) .{0,30}(?:remis|délivr|delivr|distribu"
    r"|envoy|achemin)|pas pu (?:etre|être) (?:d[eé]livr|remis|distribu|envoy|transmis)|impossible de (?:remettre"
    r"|distribuer|délivrer|livrer|transmettre)|utilisateur non|erreur de (?:remise|distribution)|retour de mail"
    # Spanish, Portuguese, Italian.
    r"|no (?:se )?(?:ha )?(?:pudo|puede|podido|pudieron|fue posible) .{0,30}(?:entreg|enviar|envi)|no entregad"
    r"|sin entregar|no pudo ser entregad|devuelto|(?:error|fallo|falla) (?:de|en la|al) (?:la )?(?:entrega|enviar)"
    r"|n[aã]o (?:foi poss[ií]vel|pôde|pode|p[oô]de) .{0,30}(?:entreg|envi)|n[aã]o (?:foi )?entregue|falha (?:na"
    r"|de) (?:entrega|envio)|devolvid|mensagem n[aã]o"
    r"|mancat[oa] (?:recapito|consegna)|non .{0,25}(?:recapitat|recapitabil|consegnat|consegnabil|inoltrat)"
    r"|impossibile (?:recapitare|consegnare|inviare)|errore (?:di|nella) consegna"
    # Dutch, Polish, Scandinavian, Czech, Hungarian, Turkish, Russian.
    r"|onbestelbaar|niet (?:kunnen )?(?:worden )?(?:bezorgd|afgeleverd|besteld)|kan niet worden (?:bezorgd"
    r"|afgeleverd)|niedostarcz|nie (?:zosta[łl]a?|mo[żz]e|mo[żz]na) .{0,30}dor[eę]cz|nie (?:zosta[łl]a?|mo[żz]e"
    r"|mo[żz]na) .{0,20}dostarcz|zwrot wiadomo"
    r"|kunde inte levereras|ej levereras|inte leverera|kunne ikke leveres|levering mislyk|kan ikke leveres|oleverbar"
    r"|kan ikke leveres|toimittaminen|ei voitu toimittaa|nedoru[cč]|nelze doručit|kézbesít|teslim edileme|iletilemedi"
    r"|не ?достав|недостав|не удалось (?:достав|отправ)|не может быть достав|не было достав|невозможно достав"
    r"|возврат|возвращ"
    # What is late only: Exchange.
    r"|(?:remise|entrega|recapito|consegna|bezorging|levering|leveransen) .{0,60}(?:retard|différ|retras|demor|atras"
    r"|ritard|vertraag|forsink|försen)"
    # Japanese, Chinese, Korean.
    r"|配信(?:が?遅|不能|エラー|でき|に失敗|されませんで|が完了)|送信(?:エラー|失敗|でき|されませんで|に失敗)"
    r"|送信できませんでした|届けでき|届きませんでした|配送できませんでした|お届け|エラーメール|メールエラー"
    r"|リターンメール|宛先不明"
    r"|退信|退件|投递失败|投遞失敗|无法(?:投递|送达|发送|传递|到达)|無法(?:投遞|送達|傳遞|傳送|寄達)|传输失败"
    r"|传送失败|傳送失敗|发送失败|發送失敗|递送失败|未送达|被退回|반송|전송 ?실패|배달|전달되지"
)
"""Subjects and sentences that say that a mail did not arrive."""

OF_MAIL = pattern(
    r"messages?\b|e-?mails?\b|\bmails?\b|courriel|courrier|nachricht|mensaje|correo|messaggio|mensagem|bericht\b"
    r"|wiadomo"
    r"|сообщени|письм|メール|メッセージ|邮件|郵件|메일|meddeland|melding|viesti|zpráv|üzenet|ileti|posta"
)
"""That it was a mail, and no parcel."""

DELAYED = pattern(
    r"not yet been deliver|hasn.t yet been|(?:message|delivery|mail|e-?mail) (?:is |was |has been |still )?delayed"
    r"|delay(?:ed)? \d|\(delay\)|delayed mail|delivery delay|still (?:trying|being)|postponed|will (?:be retried"
    r"|continue (?:trying|to (?:try|be|attempt))|keep trying|retry|try again)|just a warning|warning message only"
    r"|do not need to resend|need not resend"
    r"|could not send message for past|attempts will continue|transient non-fatal|continue to attempt"
    r"|temporary (?:delivery )?(?:problem|failure).{0,80}(?:retr|again)|verzögert|retard[ée]e?\b|différée|retras[aó]"
    r"|in ritardo|ritardat|atrasad|demorad|forsink|försen|vertraagd|opóźnion|задерж|遅延|延迟"
)
"""What tells a warning from a failure: the queue goes on trying."""

DELIVERED = pattern(
    r"^(?:delivered|relayed|zugestellt|übermittelt|remis|entregado|entregue|consegnato|recapitato|bezorgd|dostarczono"
    r"|доставлено)\s?[:：]|^success\w* (?:mail |message )?deliver|(?:message|mail) (?:was|has been) (?:successfully )?"
    r"(?:delivered|relayed) to"
)
"""What tells of a mail that arrived, or was handed on to a server that tells no more."""

OF_PROGRAM = pattern(
    r"non.?delivery report|delivery status notif|delivery (?:failure )?(?:report|notification)|automatic"
    r"|auto-?generated"
    r"|automat(?:isch|ique|ica|ico|yczn|ски|ічно)|do not (?:re)?send|attempts? (?:will|to deliver)|transcript"
    r"|the following (?:recipient|address|user)|did not (?:receive|reach) |failed recipient|mail(?:er)? (?:system"
    r"|daemon|server)"
    r"|サーバ|自動|自动|系统|システム"
)
"""How programs speak, and people hardly do."""

ANSWERED = pattern(
    r"(?:re|r|aw|sv|vs|antw|odp|ynt|fwd?|wg|tr|rv|vb|enc|i|doorst|转发|转寄|轉寄|回复|回覆|答复|答覆"
    r"|回复)\s?(?:\[\d+\])?[:：]"
)
"""How the subject starts where a person answers or forwards a report."""

LABEL = pattern(
    r"(?<![a-z0-9_à-ž])(?:smtp=|(?:recipients?|recipient\(s\)|addresses|address(?:\(es\))?|to|for|mailbox|user"
    r"|account|error-for|rcpt to|addressed(?: to|,)?|deliver(?:ed|y)? to|e-?mail|reach|recipient address"
    r"|final-recipient|intended"
    r"|empfänger(?:adresse|in)?|adresse|an|für|destinataires?|à|a|para|destinatari[oa]?s?|per|alla casella|aan|voor"
    r"|geadresseerde|do|odbiorc[ay]|adresat|till|til|mottagare|modtager|кому|для|адресу|получател[юья]"
    r"|宛先|あて先|送信先|メールアドレス|收件人|收信人|地址|수신자)"
    r"(?: address| is| was| name|[(]s[)])?\s{0,3}(?:=|:|：|;)?\s{0,3}(?:smtp:|rfc822;|\[smtp:"
    r"|mailto:)?\s{0,2})[<\"'(\[「]{0,3}$"
)
"""What stands right before the address that failed."""

SUMMARY = pattern(r"\s*(?:to|an|à|a|para|aan|do|til|till|кому|宛先|收件人)\s?[:：][\s<\"']*")
"""How a summary of the mail names whom it went to, be it one who got it or not."""

GENERATED = pattern(r"generated (?:from|by) <?$")
"""Exim: right before the address that was written to, where an alias leads on from it."""

NOT_FAILED = pattern(
    r"(?<![a-z0-9_à-ž])(?:from|sender|reply-?to|return-?path|contact\w*|message-id|e?-?mail us at|mail to"
    r"|e?-?mailing(?: to)?|send (?:mail|e-?mail|a message) to|write to|help|support|via|cc|please|subject|references|by"
    r"|mailto|envelope-from|mail from|von|absender|de|expéditeur|da|van|od|от|差出人|发件人|寄件者|administrator"
    r"|assistance|visit)"
    r"\s{0,3}(?:=|:|：|;|at)?\s{0,3}(?:smtp:|rfc822;|mailto:)?\s{0,2}[<\"'(\[「]{0,3}$"
)
"""What stands right before an address that is somebody else's."""

NEVER_FAILED = pattern(
    r"mailer-?daemon|postmaster|abuse|hostmaster|support|helpdesk|help|no-?reply|webmaster|noc|admin\w*|root|info"
)
"""Local parts that reports name as whom to ask; one of them failed only where the mail was sent to it."""
